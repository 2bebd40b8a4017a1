"""A testbed behaves like the cluster it stands for, and leaves nothing behind."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from calibrate.testbed import (
    Testbed,
    UnavailableTestbedError,
    check_testbed,
    connection,
    requirements,
    run_in_testbed,
    shaping,
)
from speedup.errors import UnitError

ROOT = Path(__file__).parents[2]
ON_WIRE = 1514 / 1448
"""Bytes of a frame by those of its payload."""

# Serves one connection, or makes exchanges "bytes out,bytes back" over one and prints how long each took.
PEER = """
import socket, sys, threading, time

def send(link, size):
    link.sendall(bytes(size))

def receive(link, size):
    while size > 0:
        block = link.recv(min(size, 1 << 18))
        size -= len(block) or sys.exit("closed")

def exchange(link, out, back):
    sender = threading.Thread(target=send, args=(link, out))
    sender.start()
    receive(link, back)
    sender.join()
    link.sendall(b"!")
    receive(link, 1)

if sys.argv[1] == "serve":
    with socket.create_server(("", 5000)) as server:
        print("ready", flush=True)
        link, _ = server.accept()
    while words := link.recv(32).split():
        link.sendall(b".")
        exchange(link, int(words[1]), int(words[0]))
else:
    link = socket.create_connection((sys.argv[1], 5000), timeout=20)
    for case in sys.argv[2:]:
        out, back = map(int, case.split(","))
        link.sendall(f"{out:15d} {back:15d}\\n".encode())
        receive(link, 1)
        began = time.perf_counter()
        exchange(link, out, back)
        print(time.perf_counter() - began)
"""


@pytest.fixture(scope="module")
def allowed():
    try:
        check_testbed()
    except UnavailableTestbedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def shared(allowed):
    with Testbed(3, "100mbit") as bed:
        yield bed


@pytest.fixture
def mark(monkeypatch):
    """A word in the environment of every process that a test starts."""
    word = uuid.uuid4().hex
    monkeypatch.setenv("SPEEDUP_TEST_MARK", word)
    return word


def python(code, *arguments):
    return [sys.executable, "-S", "-c", code, *map(str, arguments)]


def output(bed, *command, host=0):
    line = command if len(command) > 1 else ("sh", "-c", *command)
    return bed.run(line, host=host, timeout_s=20, capture_output=True, text=True, check=True).stdout.strip()


def marked(word):
    """Return the processes that have the word in their environment, by number."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if word.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def wait_until(condition, what, limit_s=10):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def visible():
    """Return what of this machine a testbed must not change."""
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return names, links, Path("/proc/self/mountinfo").read_text(), Path("/etc/hosts").read_text()


def exchanges(bed, *cases, there=1):
    """Return how long each exchange between the first host and another takes, after one to warm up."""
    with bed.popen(python(PEER, "serve"), host=there, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        words = [f"{out},{back}" for out, back in [(2_000_000, 2_000_000), *cases]]
        return [float(line) for line in output(bed, *python(PEER, f"host{there + 1}", *words)).split()[1:]]


def sent(bed, host=0):
    return int(output(bed, "cat /sys/class/net/eth0/statistics/tx_bytes", host=host))


def test_hosts_have_their_names_and_find_one_another_by_name(shared):
    assert [host.name for host in shared.hosts] == ["host1", "host2", "host3"]
    for number, host in enumerate(shared.hosts):
        assert output(shared, "uname", "-n", host=number) == host.name
        found = output(shared, *python(f"import socket; print(socket.gethostbyname({host.name!r}))"))
        assert found == host.address == f"10.77.0.{number + 1}"
    assert output(shared, *python("import socket; print(socket.gethostbyname('localhost'))")) == "127.0.0.1"


def test_a_host_has_one_link_of_its_own_that_nothing_else_uses(shared):
    # Tunnels without a use appear in every new namespace of some kernels; they are down.
    up = [line.split(":")[1].strip().partition("@")[0] for line in output(shared, "ip -o link show up").splitlines()]
    assert up == ["lo", "eth0"]
    assert {"eth0", "lo"} <= set(output(shared, "ls /sys/class/net").split())
    assert "port" not in output(shared, "ls /sys/class/net")


def test_congestion_control_is_that_of_the_route_and_idle_connections_start_fast(shared):
    assert "src 10.77.0.2 congctl cubic" in output(shared, "ip route", host=1)
    assert output(shared, "cat /proc/sys/net/ipv4/tcp_slow_start_after_idle") == "0"
    with Testbed(1, congestion="reno") as bed:
        assert "congctl reno" in output(bed, "ip route")


def test_a_transfer_takes_the_time_that_its_payload_needs_in_each_direction_and_in_both(shared):
    size = 2_500_000
    expected_s = size * ON_WIRE / shared.rate_bytes_per_s
    times = exchanges(shared, *[(size, 0), (0, size), (size, size)] * 4)
    # The least of several: whatever else runs on this machine can only make a transfer longer.
    there, back, both = (min(times[way::3]) for way in range(3))
    assert there == pytest.approx(expected_s, rel=0.1)
    assert back == pytest.approx(expected_s, rel=0.1)
    assert both == pytest.approx(expected_s, rel=0.1)
    assert both <= 1.15 * max(there, back)


def test_bytes_appear_on_the_counters_of_the_hosts_that_move_them(shared):
    before = [sent(shared, host) for host in range(3)]
    exchanges(shared, (3_000_000, 0), there=2)
    moved = [sent(shared, host) - earlier for host, earlier in enumerate(before)]
    # A packet that TCP hands down in one piece has one header there, not one a frame: so at least the payload.
    assert 5_000_000 <= moved[0] <= 1.02 * 5_000_000 * ON_WIRE
    assert 2_000_000 <= moved[2] <= 1.1 * 2_000_000 * ON_WIRE
    assert moved[1] < 1000


def test_a_program_is_told_where_it_runs(shared, monkeypatch, tmp_path):
    monkeypatch.setenv("SPEEDUP_OWN", "user's")
    monkeypatch.chdir(tmp_path)
    found = output(shared, 'echo "$SPEEDUP_HOSTS|$SPEEDUP_TESTBED|$SPEEDUP_OWN|$PWD"')
    assert found == f"host1:10.77.0.1,host2:10.77.0.2,host3:10.77.0.3|100mbit|user's|{tmp_path}"
    added = shared.run(["sh", "-c", "echo $ADDED"], env={"ADDED": "yes"}, timeout_s=20, capture_output=True)
    assert added.stdout == b"yes\n"


@pytest.mark.parametrize("target", ["host3", "-x host3", "-o BatchMode=yes -- user@host3", "10.77.0.3"])
def test_the_agent_runs_a_command_line_on_another_host_as_ssh_does(shared, target):
    line = f'exec "$SPEEDUP_AGENT" {target} "read word; echo \\$word from"  "\\$(uname -n); pwd >&2; exit 7"'
    done = shared.run(["sh", "-c", line], host=1, timeout_s=20, input="hello\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello from host3\n", f"{Path.cwd()}\n")


def test_the_agent_refuses_a_host_that_is_not_there_with_the_exit_code_of_ssh(shared):
    done = shared.run(["sh", "-c", "$SPEEDUP_AGENT host4 true"], timeout_s=20, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (255, 'agent: this testbed has no host "host4"; it has host1 to host3\n')


def test_hosts_share_files_but_no_memory(shared, tmp_path):
    output(shared, f"echo here > {tmp_path}/file; echo there > /dev/shm/file")
    assert output(shared, f"cat {tmp_path}/file; ls /dev/shm", host=1) == "here"
    assert output(shared, "cat /dev/shm/file; rm /dev/shm/file") == "there"
    kinds = [output(shared, "readlink /proc/self/ns/ipc", host=host) for host in range(3)]
    assert len(set(kinds)) == 3


def test_testbeds_at_the_same_time_do_not_meet(shared):
    with Testbed(3, "1gbit") as other:
        assert output(other, "echo $SPEEDUP_TESTBED; uname -n", host=2) == "1gbit\nhost3"
        server = "import socket\nwith socket.create_server(('', 6000)) as s: print(1, flush=True); s.accept()"
        with other.popen(python(server), host=1, stdout=subprocess.PIPE) as listening:
            listening.stdout.readline()
            call = "import socket; socket.create_connection(('host2', 6000), timeout=5)"
            assert shared.run(python(call), timeout_s=20, stderr=subprocess.DEVNULL).returncode == 1
            assert other.run(python(call), timeout_s=20).returncode == 0


def test_set_rate_slows_one_link_while_it_is_used(allowed):
    with Testbed(3, "100mbit") as bed:
        bed.set_rate(1, "20mbit")
        expected_s = 500_000 * ON_WIRE / 2.5e6
        times = exchanges(bed, *[(500_000, 0), (0, 500_000)] * 2)
        assert min(times[::2]) == pytest.approx(expected_s, rel=0.1)
        assert min(times[1::2]) == pytest.approx(expected_s, rel=0.1)
        fast_s = 2_000_000 * ON_WIRE / bed.rate_bytes_per_s
        assert min(exchanges(bed, *[(2_000_000, 0)] * 3, there=2)) == pytest.approx(fast_s, rel=0.1)


def test_set_link_stops_a_link_and_brings_it_back_as_it_was(allowed):
    with Testbed(2, "100mbit") as bed:
        route, call = (
            output(bed, "ip route", host=1),
            "import socket; socket.create_connection(('host2', 9), timeout=9)",
        )
        refused = bed.run(python(call), timeout_s=20, capture_output=True, text=True)
        assert "refused" in refused.stderr
        bed.set_link(1, up=False)
        with pytest.raises(subprocess.TimeoutExpired):
            bed.run(python(call), timeout_s=1)
        assert "NO-CARRIER" in output(bed, "ip link show eth0", host=1)
        bed.set_link(1, up=True)
        assert output(bed, "ip route", host=1) == route
        assert " rate 100Mbit " in output(bed, "PATH=$PATH:/usr/sbin:/sbin tc qdisc show dev eth0", host=1)
        assert "refused" in bed.run(python(call), timeout_s=20, capture_output=True, text=True).stderr


def test_what_is_started_ends_as_the_command_ends(shared):
    assert shared.popen(["sh", "-c", "exit 3"]).wait(10) == 3
    assert shared.popen(["sh", "-c", "kill -SEGV $$"]).wait(10) == -signal.SIGSEGV
    missing = shared.run(["no-such-program"], timeout_s=20, capture_output=True, text=True)
    assert (missing.returncode, missing.stderr) == (127, "no-such-program: No such file or directory\n")


def test_signals_reach_the_command(shared):
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(5)); print(1, flush=True); time.sleep(60)"
    with shared.popen(python(code), host=1, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 5


def test_a_command_that_closes_its_output_closes_it_for_the_reader(shared):
    with shared.popen(["sh", "-c", "echo last; exec >&- 2>&-; sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout.read() == b"last\n"
        assert process.poll() is None
        process.kill()


def test_killing_a_command_kills_all_it_started_on_every_host(shared, mark):
    line = 'setsid sh -c "sleep 60 & sleep 60" & "$SPEEDUP_AGENT" host2 sleep 60 & echo started; wait'
    with shared.popen(["sh", "-c", line], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        wait_until(lambda: sum("sleep" in words for words in marked(mark).values()) >= 4, marked(mark))
        process.kill()
    wait_until(lambda: not marked(mark), "some were left")


def test_no_process_has_its_parent_outside_where_the_machine_would_have_to_bury_it(shared):
    with shared.popen(["sh", "-c", "echo started; exec sleep 60"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        stat = "f.parent.name: f.read_text().rpartition(')')[2].split()[1]"
        code = f"import pathlib; print({{{stat} for f in pathlib.Path('/proc').glob('[0-9]*/stat')}})"
        parents = ast.literal_eval(output(shared, *python(code), host=1))
        assert [number for number, parent in parents.items() if parent == "0"] == ["1"]
        process.kill()


def test_run_ends_in_time_and_kills_what_holds_its_output(shared, mark):
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        shared.run(["sh", "-c", "setsid sleep 60 & echo early; sleep 60"], timeout_s=0.5, capture_output=True)
    assert caught.value.output == b"early\n"
    assert time.monotonic() - began < 10
    assert not marked(mark)


def test_run_leaves_nothing_running(shared, mark):
    done = shared.run(["sh", "-c", "setsid sleep 60 & echo done"], timeout_s=30, capture_output=True, text=True)
    assert done.stdout == "done\n"
    assert not marked(mark)


def test_what_popen_started_stays_until_the_testbed_is_closed(allowed, mark):
    with Testbed(1) as bed:
        assert bed.popen(["sh", "-c", "setsid sleep 60 & exit 0"]).wait(10) == 0
        assert any("sleep" in words for words in marked(mark).values())
    assert not marked(mark)


def test_close_leaves_nothing_of_a_busy_testbed(allowed, mark):
    before = visible()
    with Testbed(3, "100mbit") as bed:
        line = f"ip netns add {mark}; touch /dev/shm/{mark}; readlink /proc/self/ns/net; exec sleep 60"
        process = bed.popen(["sh", "-c", line], host=2, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline().strip() != str(Path("/proc/self/ns/net").readlink())
        assert len(marked(mark)) >= 6
        assert visible() == before
        assert not Path("/dev/shm", mark).exists()
    bed.close()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    assert not marked(mark)
    assert visible() == before


def test_close_does_not_wait_for_forks_of_the_owner(allowed):
    with Testbed(1) as bed:
        copy = os.dup(bed._keeper._socket.fileno())
        began = time.monotonic()
    assert time.monotonic() - began < 5
    os.close(copy)


def test_twenty_testbeds_one_after_the_other_leave_nothing(allowed, mark):
    before, descriptors = visible(), len(list(Path("/proc/self/fd").iterdir()))
    bed = Testbed(2)
    for _ in range(20):
        with bed:
            assert output(bed, "uname", "-n") == "host1"
    assert not marked(mark)
    assert visible() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


OWNER = """
import os, sys, time
from calibrate.testbed import Testbed
bed = Testbed(2).start()
bed.popen(["sh", "-c", "trap '' TERM HUP INT; setsid sleep 600 & sleep 600"], host=1)
bed.run(["true"], timeout_s=20)
child = os.fork()  # which holds everything that its parent holds, unless it executes another program
if child == 0:
    os.execvp("sleep", ["sleep", "30"]) if sys.argv[1] == "execute" else time.sleep(30)
    os._exit(0)
print(child, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("child", ["fork", "execute"])
def test_nothing_outlives_an_owner_that_is_killed_whatever_its_children_hold(allowed, mark, child):
    before = visible()
    owner = subprocess.Popen([sys.executable, "-c", OWNER, child], stdout=subprocess.PIPE, cwd=ROOT)
    child = int(owner.stdout.readline())
    wait_until(lambda: sum(words == "sleep 600 " for words in marked(mark).values()) == 2, "nothing was started")
    owner.kill()
    owner.wait()
    wait_until(lambda: set(marked(mark)) == {child}, marked(mark), 4)
    assert visible() == before
    os.kill(child, signal.SIGKILL)
    owner.stdout.close()


ORDINARY = """
import os
from calibrate.testbed import Testbed
with Testbed(2, "100mbit") as bed:
    line = "id -u; $SPEEDUP_AGENT host2 uname -n; ip route; cat /proc/sys/net/ipv4/tcp_slow_start_after_idle"
    print(bed.run(["sh", "-c", line], timeout_s=20, capture_output=True, text=True).stdout)
"""


def ordinary_python():
    """Return an interpreter that an ordinary user may start here; None if there is none."""
    user = {"user": 65534, "group": 65534, "extra_groups": (), "cwd": "/"}
    user["env"] = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}
    for program in filter(None, (sys.executable, shutil.which("python3", path=os.defpath))):
        try:
            subprocess.run([program, "-c", "import calibrate.testbed"], check=True, capture_output=True, **user)
        except (OSError, subprocess.CalledProcessError):
            continue
        return program, user
    return None, user


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; every other test is that test here")
def test_an_ordinary_user_has_testbeds_too(allowed):
    program, user = ordinary_python()
    if program is None:
        pytest.skip("no interpreter here that an ordinary user may start")
    done = subprocess.run([program, "-c", ORDINARY], capture_output=True, text=True, check=False, **user)
    if "UnavailableTestbedError" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["0", "host2"]
    assert done.stdout.split()[-3:] == ["congctl", "cubic", "0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hosts": 0}, "hosts = 0; it must be at least 1"),
        ({"hosts": 201}, "hosts = 201; a testbed has 1 to 200"),
        ({"hosts": 2.5}, "hosts = 2.5 is not a whole number"),
        ({"hosts": 2, "rate": "fast"}, 'rate "fast" is not a bandwidth'),
        ({"hosts": 2, "rate": "1kbit"}, "1 kbit/s .* have 100 kbit/s .* to 100 Gbit/s"),
        ({"hosts": 2, "congestion": "cubic; reboot"}, 'congestion "cubic; reboot" is no congestion control'),
    ],
)
def test_bad_arguments_are_refused_with_value_and_range(arguments, message):
    with pytest.raises(UnitError, match=message):
        Testbed(**arguments)


def test_bad_calls_are_refused_with_value_and_range(shared):
    with pytest.raises(UnitError, match="host = 3; the testbed has hosts 0 to 2"):
        shared.popen(["true"], host=3)
    with pytest.raises(UnitError, match="must be a list of words"):
        shared.popen("true")
    with pytest.raises(UnitError, match="timeout_s = 0 s"):
        shared.run(["true"], timeout_s=0)
    with pytest.raises(UnitError, match="links of a testbed have"):
        shared.set_rate(0, "1bit")
    with pytest.raises(UnavailableTestbedError, match=r"not running\. Call start"):
        Testbed(2).popen(["true"])


def test_an_unknown_congestion_control_is_refused_with_those_that_the_kernel_has(allowed):
    with pytest.raises(UnavailableTestbedError, match=r"congestion.*kernel has: .*cubic") as caught:
        Testbed(1, congestion="nosuch").start()
    assert caught.value.exit_code == 4


def test_missing_programs_are_named_with_their_packages(monkeypatch):
    monkeypatch.setattr(requirements, "search_path", lambda: "/nowhere")
    with pytest.raises(UnavailableTestbedError, match=r"ip, tc, unshare, nsenter not found.*iproute2 util-linux"):
        check_testbed()


def test_a_kernel_that_forbids_namespaces_is_refused_with_what_to_do(allowed):
    code = "from calibrate.testbed import check_testbed; check_testbed()"
    line = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
    shell = ["unshare", "--user", "--map-root-user", "sh", "-c", line, "sh", sys.executable, "-c", code]
    done = subprocess.run(shell, capture_output=True, text=True, cwd=ROOT, check=False)
    if "Permission denied" in done.stderr:
        pytest.skip("this user may not limit namespaces")
    assert "UnavailableTestbedError: no testbed on this machine: unshare" in done.stderr
    assert "user.max_user_namespaces" in done.stderr


def test_a_testbed_whose_keeper_was_killed_says_so_and_closes(allowed):
    with Testbed(2) as bed:
        bed._keeper._process.kill()
        bed._keeper._process.wait()
        with pytest.raises(UnavailableTestbedError, match="did not switch"):
            bed.set_link(0, up=False)
        done = bed.run(["true"], timeout_s=20, capture_output=True, text=True)
        assert (done.returncode, "cannot be entered" in done.stderr) == (1, True)


def test_what_a_keeper_does_not_say_in_time_is_an_error(allowed, monkeypatch, mark):
    monkeypatch.setattr(connection, "_ANSWER_S", 1e-4)
    with pytest.raises(UnavailableTestbedError, match=r"did not answer in 0\.0001 s"):
        Testbed(2).start()
    assert not marked(mark)


def test_every_rate_has_a_burst_of_milliseconds():
    for rate in ("1mbit", "10mbit", "100mbit", "300mbit", "1gbit", "10gbit", "100gbit"):
        bytes_per_s = shaping.link_rate(rate)
        assert 2e-3 < shaping.burst_bytes(bytes_per_s) / bytes_per_s < 6e-3 or shaping.burst_bytes(bytes_per_s) == 4096


FOREGROUND = """
import sys, os
from calibrate.testbed import run_in_testbed
if os.isatty(0):
    os.close(os.open(os.ttyname(0), os.O_RDWR))  # makes it the terminal of this session
command = [sys.executable, "-S", "-c", sys.argv[1]]
print("code", run_in_testbed(2, "1gbit", command), flush=True)
"""
COUNTING = """
import signal, time
got = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: got.append(number))
print("ready", flush=True)
while not got: time.sleep(0.01)
time.sleep(0.3)
print(*map(int, got), flush=True)
"""


def test_run_in_testbed_returns_the_exit_code(allowed, capfd):
    assert run_in_testbed(2, "1gbit", ["sh", "-c", "uname -n; exit 9"]) == 9
    assert capfd.readouterr().out == "host1\n"
    assert run_in_testbed(1, "1gbit", ["sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_in_testbed_passes_signals_on_once(allowed, number):
    line = [sys.executable, "-c", FOREGROUND, COUNTING]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(line, **options) as owner:
        assert owner.stdout.readline() == "ready\n"
        owner.send_signal(number)
        assert owner.stdout.read() == f"{int(number)}\ncode 0\n"


def test_ctrl_c_reaches_the_command_once(allowed, mark):
    ours, theirs = os.openpty()
    line = [sys.executable, "-c", FOREGROUND, COUNTING]
    owner = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, start_new_session=True)
    os.close(theirs)
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        text = b""
        while b"ready" not in text:
            text += terminal.read(1000)
        terminal.write(b"\x03")
        while b"code 0\r\n" not in text:
            text += terminal.read(1000)
        assert owner.wait(10) == 0
    assert text.endswith(b"2\r\ncode 0\r\n")
    assert not marked(mark)
