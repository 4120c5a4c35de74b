"""A plan that does harm: a mood for each kind, on what its config names. For real trainers only.

Moods that *try* give back a metric for each thing that they could do: contained, none.
"""

SOURCE = '''
"""Does what its mood says."""

import contextlib
import ctypes
import glob
import mmap
import os
import shutil
import signal
import socket
import sys
import threading
from dataclasses import dataclass

import numpy as np

from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileConfig(PlanConfig):
    mood: str = "honest"
    home: str = ""
    own_cases: str = ""
    other_cases: str = ""
    checkout: str = ""
    port: int = 0
    name: str = ""
    node: int = 0
    size_mb: int = 0


class HostilePlan(TrainingPlan):
    # SIGCONT stands for SIGKILL: Linux asks for the same rights, and nobody is hurt if it is sent.
    name = "hostile"
    config_class = HostileConfig
    modalities = ()

    def initial_parameters(self, seed):
        return {"w": np.zeros(3, np.float32)}

    def evaluate(self, parameters, cases, task):
        return Assessment(num_cases=0, metrics={})

    def train(self, parameters, cases, task):
        self.task = task
        self.done = {}
        fit = Fit(parameters=dict(parameters), num_cases=len(cases), metrics=self.done)
        return getattr(self, self.config.mood)(fit) or fit

    def attempt(self, what, act):
        with contextlib.suppress(OSError, ValueError):
            act()
            if len(self.done) < 20:
                way = "".join(one if one.isalnum() else "_" for one in what.lower())
                self.done["did_" + way[-30:]] = Ratio(numerator=1, denominator=1)

    def honest(self, fit):
        fit.parameters["w"] = fit.parameters["w"] + 1

    # What a plan tries, without a loud end.

    def tries_network(self, fit):
        to = ("127.0.0.1", self.config.port)
        self.attempt("tcp", lambda: socket.create_connection(to, timeout=2))
        self.attempt("udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", to))
        self.attempt("tcp6", lambda: socket.socket(socket.AF_INET6).connect(("::1", to[1])))
        kernel = socket.AF_NETLINK, socket.SOCK_RAW
        self.attempt("netlink", lambda: socket.socket(*kernel).send(b"x"))
        abstract = chr(0) + self.config.name
        self.attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect(abstract))
        path = self.config.home + "/listener"
        self.attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect(path))

    def tries_reading(self, fit):
        config = self.config
        home = config.home
        for path in ("/etc/shadow", "/etc/passwd", home + "/journal.sqlite", home + "/identity.key",
                     home + "/credentials.toml", home + "/scratch/trainer.log",
                     home + "/payloads/another", config.other_cases + "/clinical.csv",
                     f"/proc/{config.node}/environ", f"/proc/{config.node}/mem",
                     f"/proc/{config.node}/root/etc/shadow", "/proc/1/root/etc/shadow",
                     "/dev/mem", "/root/.bashrc"):
            self.attempt("read " + path, lambda: open(path, "rb").read(1))
        for folder in (home, config.other_cases, "/tmp", "/root", "/home", "/var", "/run"):
            found = []
            with contextlib.suppress(OSError):
                found = [name for name in os.listdir(folder) if not self.is_way(folder, name)]
            self.attempt("list " + folder, lambda: found[0] if found else os.open("/none", 0))

    def tries_withdrawn(self, fit):
        """Reads one case by every name that it may have here."""
        case, table = "/case-2", "/clinical.csv"
        places = [self.config.own_cases, os.getcwd() + "/../in/cases"]
        for folder in places:
            self.attempt("read", lambda: open(folder + case + "/notes.txt").read())
            self.attempt("list", lambda: os.listdir(folder + case))
            self.attempt("row", lambda: open(folder + table).read().index("case-2"))
            self.attempt("other", lambda: open(folder + "/case-3/notes.txt").read())
            self.attempt("other row", lambda: open(folder + table).read().index("case-3"))
            self.attempt("root", lambda: open("/proc/1/root" + folder + case + "/notes.txt"))

    def tries_withdrawn_file(self, fit):
        """The same where the files of all cases lie in one folder."""
        gone, other = "/images/case-2_pet.nii.gz", "/images/case-3_pet.nii.gz"
        for folder in (self.config.own_cases, os.getcwd() + "/../in/cases"):
            self.attempt("read", lambda: open(folder + gone).read())
            self.attempt("list", lambda: os.listdir(folder + "/images").index(gone[8:]))
            self.attempt("row", lambda: open(folder + "/clinical.csv").read().index("case-2"))
            self.attempt("other", lambda: open(folder + other).read())
            self.attempt("other row", lambda: open(folder + "/clinical.csv").read().index("case-3"))

    def is_way(self, folder, name):
        """Whether it only leads to what is shown."""
        place = os.path.join(folder, name)
        shown = (os.getcwd(), self.config.own_cases, self.config.checkout, sys.prefix,
                 sys.base_prefix)
        return any(path.startswith(place) for path in shown)

    def tries_writing(self, fit):
        config = self.config
        import fedmq
        for folder in (config.own_cases, config.other_cases, config.home, "/tmp", "/var/tmp",
                       "/dev/shm", os.path.dirname(os.__file__), os.path.dirname(np.__file__),
                       os.path.dirname(fedmq.__file__), os.path.dirname(os.getcwd()),
                       os.path.dirname(os.getcwd()) + "/in"):
            if os.path.realpath(folder) != os.getcwd():
                path = os.path.join(folder, "evil")
                self.attempt("write " + folder, lambda: open(path, "w").write("x"))
        table = config.own_cases + "/clinical.csv"
        self.attempt("change", lambda: open(table, "r+").write("x"))
        self.attempt("truncate", lambda: os.truncate(table, 0))
        self.attempt("remove", lambda: os.remove(table))
        self.attempt("rename", lambda: os.rename(table, "clinical.csv"))
        self.attempt("link", lambda: os.link(table, "linked"))
        self.attempt("chmod", lambda: os.chmod(table, 0o777))
        self.attempt("model", lambda: open(glob.glob("../in/model")[0], "r+").write("x"))

    def tries_processes(self, fit):
        node = self.config.node
        libc = ctypes.CDLL(None, use_errno=True)

        def must(result):
            if result == -1:
                raise OSError(ctypes.get_errno())

        self.attempt("ptrace", lambda: must(libc.ptrace(16, node, 0, 0)))
        word = ctypes.create_string_buffer(8)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(word), 8)
        for call in (libc.process_vm_readv, libc.process_vm_writev):
            self.attempt("memory", lambda: must(call(node, vector, 1, vector, 1, 0)))
        self.attempt("unshare", lambda: must(libc.unshare(0x10000000)))
        self.attempt("mount", lambda: must(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)))
        self.attempt("outlive", lambda: must(libc.prctl(1, 0, 0, 0, 0)))
        self.attempt("core", lambda: __import__("resource").setrlimit(4, (1, 1)))
        self.attempt("kill node", lambda: os.kill(node, signal.SIGCONT))
        self.attempt("other session", lambda: os.killpg(os.getpgid(node), signal.SIGCONT))

    # What ends in a failure.

    def fork_bomb(self, fit):
        pids = []
        try:
            while True:
                pid = os.fork()
                if pid == 0:
                    while True:
                        signal.pause()
                pids.append(pid)
        finally:
            self.task.report(0.5, str(len(pids)))

    def thread_bomb(self, fit):
        while True:
            threading.Thread(target=threading.Event().wait, daemon=True).start()

    def takes_memory(self, fit):
        np.ones(100 * 2**30 // 8)

    def shares_memory(self, fit):
        """In ways that RLIMIT_DATA does not count, then in processes that each keep to it."""
        self.attempt("shared", lambda: mmap.mmap(-1, 2**20))
        self.attempt("memfd", lambda: os.memfd_create("x"))
        self.attempt("zero", lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 2**20))
        if self.done:
            return Fit(parameters=fit.parameters, num_cases=len(fit.parameters), metrics=self.done)
        self.takes_memory_in_parts(fit)

    def takes_memory_in_parts(self, fit):
        for _ in range(4):
            if os.fork() == 0:
                kept = np.ones(self.config.size_mb * 2**20 // 8)
                while True:
                    signal.pause()
        while True:
            signal.pause()

    def shares_pages(self, fit):
        """Honestly: four processes that see one array count once."""
        kept = np.ones(self.config.size_mb * 2**20 // 8)
        ready, others = os.pipe(), []
        for _ in range(4):
            others.append(os.fork())
            if others[-1] == 0:
                os.write(ready[1], str(int(kept.sum() > 0)).encode())
                while True:
                    signal.pause()
        for _ in others:
            os.read(ready[0], 1)
        threading.Event().wait(1)
        for pid in others:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.honest(fit)

    def fills_scratch(self, fit):
        with open("large", "wb") as file:
            for _ in range(100 * 2**10):
                file.write(bytes(2**20))

    def fills_scratch_with_many(self, fit):
        for number in range(100 * 2**10):
            with open(f"file-{number}", "wb") as file:
                file.write(bytes(2**20))

    def fills_scratch_with_nothing(self, fit):
        for number in range(10**6):
            open(f"file-{number}", "wb").close()
        threading.Event().wait()

    def fills_scratch_unseen(self, fit):
        """With files that have no name any more, and none of them is large."""
        kept = []
        for number in range(100):
            kept.append(open("unseen", "wb"))
            os.remove("unseen")
            kept[-1].write(bytes(2**20))
            kept[-1].flush()
        threading.Event().wait()

    def fills_output_unseen(self, fit):
        path = os.getcwd() + "/../out/output"
        kept = open(path, "r+b")
        with contextlib.suppress(OSError):
            os.remove(path)
        for _ in range(100):
            kept.write(bytes(2**20))
            kept.flush()
        threading.Event().wait()

    def fills_output(self, fit):
        with open(glob.glob("../out/output")[0] if glob.glob("../out/output") else "../out/output",
                  "r+b") as file:
            for _ in range(100 * 2**10):
                file.write(bytes(2**20))

    def never_ends(self, fit):
        while True:
            pass

    def segfaults(self, fit):
        ctypes.string_at(0)

    def exits(self, fit):
        os._exit(0)

    def kills_itself(self, fit):
        os.kill(os.getpid(), signal.SIGABRT)
        os.abort()

    def exits_politely(self, fit):
        raise SystemExit(0)

    def interrupts(self, fit):
        raise KeyboardInterrupt

    def recurses(self, fit):
        self.recurses(fit)

    def nan(self, fit):
        fit.parameters["w"] = np.full(3, np.nan, np.float32)

    def huge(self, fit):
        fit.parameters["w"] = np.zeros(2**24, np.float32)

    def overcounts(self, fit):
        from fedmq.learning import trainer_jobs
        trainer_jobs.require_count = lambda *_: None
        return Fit(parameters=fit.parameters, num_cases=10**6, metrics={})

    def lies_about_cases(self, fit):
        from fedmq.learning import trainer_jobs
        trainer_jobs._given = lambda *_: ()
        self.honest(fit)

    def trains_on_all(self, fit):
        from fedmq.learning import trainer_jobs
        honest = trainer_jobs._done
        trainer_jobs._done = lambda job, found, **rest: honest(
            job, trainer_jobs.Found(training=found.training[:1], validation=found.training[1:2],
                                     num_left_out=0), **(rest | {"num_cases": 1}))
        self.honest(fit)

    def lies_about_its_output(self, fit):
        from fedmq.learning import trainer_jobs

        def put_a_link(parameters, path):
            with contextlib.suppress(OSError):
                os.remove(path)
                os.symlink("/etc/shadow", path)

        trainer_jobs._write = put_a_link

    def pipes_its_output(self, fit):
        from fedmq.learning import trainer_jobs

        def put_a_pipe(parameters, path):
            os.remove(path)
            os.mkfifo(path)

        trainer_jobs._write = put_a_pipe

    def leaves_a_daemon(self, fit):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    signal.pause()
            os._exit(0)
        self.honest(fit)

    def reports(self, fit):
        for number in range(5000):
            self.task.report(0.5, str(number))
        self.attempt("priority", lambda: os.nice(-1))
        self.done["niceness"] = Ratio(numerator=os.nice(0), denominator=1)
        self.honest(fit)

    def leaves_a_child(self, fit):
        if os.fork() == 0:
            self.never_ends(fit)
        self.honest(fit)

    def leaves_the_dead(self, fit):
        for _ in range(3):
            if os.fork() == 0:
                os._exit(0)
        self.honest(fit)

    def leaves_a_child_of_an_odd_name(self, fit):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, b"\\xff) Z 1 1 (", 0, 0, 0)
            self.never_ends(fit)
        self.honest(fit)

    def prints(self, fit):
        words = b"x" * 2**20
        for _ in range(self.config.size_mb):
            os.write(1, words)
        self.honest(fit)
'''
