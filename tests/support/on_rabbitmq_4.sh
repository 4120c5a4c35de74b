#!/bin/sh
# Runs a command to which the RabbitMQ 4.0 of a Debian 13 is the installed one.
# usage: on_rabbitmq_4.sh FOLDER COMMAND [ARGUMENT]...   FOLDER is what debootstrap has made
#
# It has mounts of its own, which nobody else sees and which end with its last process. RabbitMQ's
# programs run in FOLDER; a broker's own folder, among the temporary files, has the same path there.
set -eu

if [ "$1" != --inside ]; then
    if ! unshare --mount --propagation private true; then
        echo "RabbitMQ 4.0 cannot be put in the place of the installed one
  why: this user, or this container, may not have mounts of its own
  fix: run it as root on a machine, or in a container with the capability SYS_ADMIN" >&2
        exit 1
    fi
    exec unshare --mount --propagation private "$0" --inside "$@"
fi
root=$2
shift 2
programs=/usr/lib/rabbitmq/lib

for shared in /proc /dev "${TMPDIR:-/tmp}"; do
    mkdir -p "$root$shared"
    mount --rbind "$shared" "$root$shared"
done
mount -t tmpfs none "$programs"
for script in "$root$programs"/rabbitmq_server-4.0.*/sbin/*; do
    inside=${script#"$root"}
    mkdir -p "${inside%/*}"
    # Each becomes the program that it stands for: a broker's pid stays that of its script.
    printf '#!/bin/sh\nexec chroot "%s" "%s" "$@"\n' "$root" "$inside" >"$inside"
    chmod 755 "$inside"
done
exec "$@"
