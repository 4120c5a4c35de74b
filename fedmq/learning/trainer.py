"""The trainer: a process that runs plans for a node; `contained_trainer` starts it.

Jobs come on stdin and answers leave on what was stdout, a JSON line each (`trainer_protocol`). All
that plan code prints goes to stderr. The process ends with its stdin, or with the node's death.
"""

import faulthandler
import os
import sys
import threading
from typing import BinaryIO

from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import (
    MAX_LINE_BYTES,
    Answer,
    Progress,
    answer_line,
    fitting_text,
    parse_job,
    version_fault,
)


def main() -> int:
    """Answer jobs until stdin ends; return the exit status."""
    jobs, answers = _claim_channels()
    faulthandler.enable()
    lock = threading.Lock()

    def say(answer: Answer) -> None:
        with lock:  # a plan may report from a thread of its own
            answers.write(answer_line(answer))
            answers.flush()

    while line := jobs.readline(MAX_LINE_BYTES + 1):
        fault = version_fault(line)
        if fault is not None:  # fedmq was upgraded under the node; it stays, to say so each time
            say(fault)
            continue
        job = parse_job(line)
        if job is None:
            sys.stderr.write("trainer: a line is no job; was fedmq changed? start the node again\n")
            return 1

        def report(share: float, text: str, job_id: str = job.job_id) -> None:
            done = min(1.0, max(0.0, share))  # NaN becomes 0
            say(Progress(job_id=job_id, share=done, text=fitting_text(text)))

        say(perform(job, report))
    return 0


def _claim_channels() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout for the trainer alone; plan code reads nothing, prints to stderr."""
    jobs = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return jobs, answers
