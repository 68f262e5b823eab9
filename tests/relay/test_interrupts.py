"""Ctrl-C during a build."""

import signal

import pytest

from tvm_memopt.passes.relay.interrupts import heard_interrupts, held_interrupts


def test_interrupts_are_raised_when_the_build_has_ended():
    reached = []

    def build():
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        build()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_search_inside_receives_them():
    caught = []
    with held_interrupts(), heard_interrupts():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            caught.append(True)
    assert caught


def stopped_search(errors):
    try:
        with heard_interrupts():
            signal.raise_signal(signal.SIGINT)
    except Exception as error:  # what TVM's callbacks catch
        errors.append(error)
        raise


def test_no_callback_lets_a_keyboard_interrupt_through():
    errors = []
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        stopped_search(errors)
    assert errors
