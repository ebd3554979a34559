"""What a script ends in, whatever its environment is: `command`, closed streams, terminals, and signals."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinypredrnn.errors import ConfigError, command, whole_number_from

ROOT = Path(__file__).parents[1]
SCRIPT = """
import os, signal, sys
from tinypredrnn.errors import ConfigError, command
def main():
    {body}
    return 0
sys.exit(command(main))
"""


def run(body, before="", words="", **variables):
    """(exit status, stdout, stderr) of a script with this `main`, started by a shell after `before`, its streams bent by `words`."""
    ours = "TINYPREDRNN_DEBUG", "PYTHONIOENCODING", "PYTHONUNBUFFERED"
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(["bash", "-c", f'{before}"$0" -c "$1" {words}', sys.executable, SCRIPT.format(body=body)], capture_output=True,
                          env=environment | {"PYTHONPATH": str(ROOT)} | variables, text=True, encoding="utf-8", timeout=60)
    return done.returncode, done.stdout, done.stderr


pytestmark = pytest.mark.skipif(os.name == "nt", reason="these are the shells and signals of POSIX")

ENDS = {
    "all done": ("print('done')", 0, ""),
    "an error of the user's": ("raise ConfigError('no such option')", 2, "-c: no such option\n"),
    "no such file": ("open('/nowhere/x')", 2, "-c: [Errno 2] No such file or directory: '/nowhere/x'\n"),
    "NumPy's memory": ("import numpy; numpy.empty(1 << 60, 'u1')", 2, "-c: there is not enough memory (Unable to allocate 1.00 EiB for an "
                       "array with shape (1152921504606846976,) and data type uint8): ask for less at a time, such as a smaller batch\n"),
    "Python's memory": ("raise MemoryError", 2, "-c: there is not enough memory (none is left): ask for less at a time, such as a smaller "
                        "batch\n"),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); signal.pause()", 130, "-c: stopped\n"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); signal.pause()", 143, ""),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP); signal.pause()", 129, ""),
    "a Matplotlib that is told nonsense": ("from matplotlib.figure import Figure; Figure().savefig(os.devnull, format='png')", 0, ""),
}


@pytest.mark.parametrize("body, status, message", ENDS.values(), ids=ENDS)
def test_ends(body, status, message):
    got, _, err = run(body, MPLBACKEND="nonsense")
    assert (got, err) == (status, message)


def test_a_bug_keeps_its_traceback():
    status, _, err = run("1 / 0")
    assert status == 1 and "Traceback" in err and "ZeroDivisionError" in err


def test_nohup_is_respected():
    assert run("os.kill(os.getpid(), signal.SIGHUP); print('went on')", before="trap '' HUP; ")[:2] == (0, "went on\n")


def test_without_stderr_nothing_is_said_and_no_file_takes_its_place(tmp_path):
    body = f"file = open({str(tmp_path / 'data')!r}, 'w'); os.write(2, b'an error of a library'); raise ConfigError('unheard')"
    assert run(body, words="2>&-") == (2, "", "")
    assert (tmp_path / "data").read_text() == ""


def test_without_any_stream():
    assert run("print(input() if sys.stdin.readable() else 0)", words="<&- >&- 2>&-")[0] in (0, 1)  # an EOFError is main's own
    assert run("print('x'); print('y', file=sys.stderr); sys.stdin.read()", words="<&- >&- 2>&-") == (0, "", "")


def test_a_terminal_of_ascii():
    body = "print('--out \\u00e9'); raise ConfigError('no folder \\u00e9')"
    assert run(body, PYTHONIOENCODING="ascii") == (2, "--out \\xe9\n", "-c: no folder \\xe9\n")


@pytest.mark.parametrize("body", ["print('1\\n' * 10**6)", "[print(n) for n in range(10**6)]", "print('short')"])
def test_a_reader_that_leaves_early_is_no_error(body):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(body=body)], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_stderr_that_is_full_does_not_change_the_status():
    status, _, _ = run("raise OSError('no such folder')", words="2> /dev/full")
    assert status == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_stdout_is_said():
    status, _, err = run("print('results')", words="> /dev/full")
    assert status == 2 and err.count("\n") == 1 and "No space left on device" in err


# flags

def parsers():
    for path in [*(ROOT / "examples").glob("*.py"), *(ROOT / "tinypredrnn").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("ArgumentParser", "add_parser"):
                yield f"{path.name}:{node.lineno}", {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_no_flag_may_be_abbreviated():
    """`--data x.npy` must not be taken for `--data-dir x.npy`."""
    found = dict(parsers())
    assert len(found) > 8 and [where for where, words in found.items() if words.get("allow_abbrev") != "False"] == []


def test_whole_numbers_are_bounded():
    count = whole_number_from(1)
    assert count("7") == 7
    for text in "0", "-1", "1" + "0" * 400:
        with pytest.raises(Exception, match="expected a whole number from 1 to 1,000,000,000, got"):
            count(text)


def test_the_handlers_are_set_by_command_alone(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script"])
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert command(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            command(lambda: 1 / 0)
        assert command(lambda: (_ for _ in ()).throw(ConfigError("x"))) == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
