"""Signals: the first waits where it is told to, and stops the process where it is not."""

import os
import signal
import subprocess
import sys
import time

import pytest

from inr_jax.runs import signals
from inr_jax.runs.signals import Stopped


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_stops_at_once_where_nobody_waits(number):
    with pytest.raises(Stopped) as stopped, signals.catch_signals():
        os.kill(os.getpid(), number)
        time.sleep(1)
    assert stopped.value.args == (number,)


def test_a_signal_is_noted_where_somebody_waits_and_stops_at_the_end_of_it():
    done = []
    with pytest.raises(Stopped), signals.catch_signals():
        with signals.postpone():
            assert not signals.received()
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(signals.received())
        done.append("never")
    assert done == [signal.SIGTERM]


def test_handlers_are_what_they_were_afterwards_and_a_second_block_knows_nothing_of_the_first():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with pytest.raises(Stopped), signals.catch_signals():
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before
    with signals.catch_signals():
        assert not signals.received()


def test_a_second_signal_ends_the_process_though_python_cannot_run():
    """The process is inside a compiled function that gives Python no turn; sorting a large array is one."""
    code = (
        "import numpy as np\nfrom inr_jax.runs import signals\nvalues = np.random.default_rng(0).random(40_000_000)\n"
        "with signals.catch_signals(), signals.postpone():\n    print('sorting', flush=True)\n"
        "    values.sort()\n    values[::-1].sort()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as sorting:
        assert sorting.stdout.readline() == b"sorting\n"
        for _ in range(2):
            time.sleep(0.3)
            sorting.send_signal(signal.SIGTERM)
        assert sorting.wait() == 128 + signal.SIGTERM
