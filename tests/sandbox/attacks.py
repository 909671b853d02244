"""Hostile code, as data: it runs against a session here, and through the HTTP API elsewhere.

Each piece prints a line that begins with BREACH if it got what it must not get. `shows` is a pattern that its logs must
have: it proves that the attack was carried out, and that it met the wall that was meant for it. In the code, {canary},
{port} and {abstract} stand for a secret's file on this machine, a listener on its loopback and one on an abstract unix
socket.
"""

from dataclasses import dataclass

BREACH = "BREACH"


@dataclass(frozen=True)
class Attack:
    """`ends` says whether the session dies of it; None: it may. `timeout_s` is the call's."""

    name: str
    code: str
    shows: str = "held"
    ends: bool | None = False
    timeout_s: float = 20

    def of(self, canary: str, port: int, abstract: str) -> str:
        """Return the code with this machine's places put in."""
        places = {"{canary}": canary, "{port}": str(port), "{abstract}": abstract}
        code = _TOOLS + self.code
        for mark, place in places.items():
            code = code.replace(mark, place)
        return code


_TOOLS = r'''
import ctypes, errno, json, os, signal, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def refused(attempt, *errors):
    """Print what became of an attempt: BREACH, or the error that it met."""
    try:
        got = attempt()
    except BaseException as problem:
        number = getattr(problem, "errno", None)
        print("held", errno.errorcode.get(number, type(problem).__name__))
        if errors and number not in errors:
            print("BREACH: not the wall that was meant:", problem)
    else:
        print("BREACH", got)

def call(number, *arguments):
    """Make a system call by its number."""
    words = [a if isinstance(a, bytes) or a is None else ctypes.c_long(a) for a in arguments]
    got = libc.syscall(ctypes.c_long(number), *words)
    if got == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got

def wire():
    """Find the worker's own connection to the server."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{entry}").startswith("socket:"):
                return socket.socket(fileno=os.dup(int(entry)))
        except OSError:
            pass
    raise LookupError("no wire")

def frame(body, payload=b"", length=None):
    return struct.pack(">II", len(body) if length is None else length, len(payload)) + body + payload
'''

FILES_OF_THE_HOST = [
    Attack(
        "read the host's files",
        """
for path in ("/etc/shadow", "/root", "/home/../root", "{canary}", "/proc/1/root{canary}", "/etc/hostname",
             "/var/cache", "/var/lib", "/run", "/sys", "/boot", "/etc/ssh"):
    refused(lambda: os.listdir(path) if os.path.isdir(path) else open(path).read(), errno.ENOENT, errno.EACCES)
""",
    ),
    Attack(
        "climb out of the root",
        """
refused(lambda: os.chroot("/tmp"), errno.EPERM)
for way in ("/proc/1/root/..", "/proc/self/root/..", "/../..", "/proc/1/cwd/../.."):
    names = set(os.listdir(way)) if os.access(way, os.R_OK) else set()
    print("held" if not names & {"root", "boot", "srv", "var", "work"} else "BREACH", sorted(names))
""",
    ),
    Attack(
        "write where nothing is to be written",
        """
for place in ("/", "/usr", "/usr/local", "/opt/venv", "/opt/inside/understudy", "/etc", "/dev", "/proc/sys/kernel"):
    refused(lambda: open(place + "/owned", "w"), errno.EROFS, errno.EACCES, errno.ENOENT)
refused(lambda: open("/proc/sys/kernel/core_pattern", "w"), errno.EROFS, errno.EACCES)
refused(lambda: open("/proc/sysrq-trigger", "w"), errno.EROFS, errno.EACCES, errno.ENOENT)
""",
    ),
    Attack(
        "look for secrets in every environment",
        """
for process in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try:
            text = open(f"/proc/{process}/{name}", "rb").read()
        except OSError as problem:
            print("held", problem.strerror)
        else:
            print("held" if b"UNDERSTUDY_CANARY" not in text and b"OPENAI" not in text else "BREACH", len(text))
print({name for name in os.environ if "UNDERSTUDY" in name or "KEY" in name} or "held")
print("BREACH" if len([p for p in os.listdir("/proc") if p.isdigit()]) > 3 else "held")
""",
    ),
]

NETWORK = [
    Attack(
        "connect to the machine's loopback",
        """
refused(lambda: socket.create_connection(("127.0.0.1", {port}), 2), errno.EAFNOSUPPORT)
refused(lambda: socket.create_connection(("::1", {port}), 2), errno.EAFNOSUPPORT)
import urllib.request
refused(lambda: urllib.request.urlopen("http://127.0.0.1:{port}/", timeout=2))
refused(lambda: socket.getaddrinfo("localhost.localdomain", 80))
""",
    ),
    Attack(
        "open other kinds of sockets",
        """
for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW), (16, socket.SOCK_RAW),
                     (40, socket.SOCK_STREAM), (38, socket.SOCK_SEQPACKET), (socket.AF_INET6, socket.SOCK_DGRAM)):
    refused(lambda: socket.socket(family, kind), errno.EAFNOSUPPORT)
""",
    ),
    Attack(
        "reach the machine's abstract unix sockets",
        """
one = socket.socket(socket.AF_UNIX)
refused(lambda: one.connect("\\0{abstract}"), errno.ECONNREFUSED)
""",
    ),
]

KERNEL = [
    Attack(
        "nest namespaces",
        """
for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x08000000, 0x04000000):
    refused(lambda: call(272 if os.uname().machine == "x86_64" else 97, flag), errno.EPERM)
    refused(lambda: call(56 if os.uname().machine == "x86_64" else 220, flag | 17, 0, 0, 0, 0), errno.EPERM)
refused(lambda: call(435, bytes(88), 88), errno.ENOSYS)
print(subprocess.run(["unshare", "-Ur", "true"], capture_output=True, text=True).stderr)
""",
    ),
    Attack(
        "mount",
        """
refused(lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) and call(999999), errno.ENOSYS)
print("held" if ctypes.get_errno() in (errno.EPERM, errno.ENOSYS) else "BREACH")
for number in (428, 429, 430, 432, 442):
    refused(lambda: call(number, 0, b"/", 0, 0, 0), errno.EPERM)
print(subprocess.run(["mount", "-o", "remount,rw", "/usr"], capture_output=True, text=True).stderr)
""",
    ),
    Attack(
        "use what has broken kernels",
        """
x86 = os.uname().machine == "x86_64"
for name, number in {"ptrace": 101 if x86 else 117, "bpf": 321 if x86 else 280, "io_uring_setup": 425,
                     "keyctl": 250 if x86 else 219, "add_key": 248 if x86 else 217, "userfaultfd": 323 if x86 else 282,
                     "perf_event_open": 298 if x86 else 241, "process_vm_readv": 310 if x86 else 270,
                     "pidfd_getfd": 438, "kexec_load": 246 if x86 else 104, "init_module": 175 if x86 else 105,
                     "open_by_handle_at": 304 if x86 else 265, "setns": 308 if x86 else 268,
                     "reboot": 169 if x86 else 142, "personality": 135 if x86 else 92}.items():
    refused(lambda: call(number, 0, 0, 0, 0, 0), errno.EPERM)
refused(lambda: call(467, 0, 0, 0), errno.ENOSYS)
""",
    ),
    Attack(
        "take memory that no limit counts",
        """
refused(lambda: os.memfd_create("x"), errno.EPERM)
x86 = os.uname().machine == "x86_64"
refused(lambda: call(29 if x86 else 194, 0, 1 << 30, 0o1600), errno.EPERM)
refused(lambda: call(240 if x86 else 180, b"x", 0o102, 0o600, None), errno.EPERM)
""",
    ),
    Attack(
        "type into the server's terminal",
        """
import fcntl
refused(lambda: open("/dev/tty"), errno.ENXIO)
master, slave = os.openpty()
refused(lambda: fcntl.ioctl(slave, 0x5412, b"x"), errno.EPERM)
""",
    ),
    Attack(
        "gain privileges by setuid programs",
        """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("held" if status["NoNewPrivs"].strip() == "1" and not int(status["CapBnd"], 16) else "BREACH")
for program in ("su", "sudo", "mount", "passwd", "newgrp"):
    done = subprocess.run(f"{program} -c id root </dev/null; id -u", shell=True, capture_output=True, text=True)
    print("BREACH" if "uid=0" in done.stdout or done.stdout.strip().endswith("\\n0") else "held", done.stdout.strip())
refused(lambda: os.setuid(0), errno.EPERM, errno.EINVAL)
refused(lambda: os.setgroups([0]), errno.EPERM)
""",
    ),
    Attack(
        "call the kernel in 32 bits",
        """
import mmap
if os.uname().machine != "x86_64":
    print("held: no such calls")
else:
    print("held if this kills", flush=True)
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # getpid by int 0x80
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    print("BREACH")
""",
        ends=None,
    ),
    Attack(
        "raise its own limits",
        """
import resource
for name in ("AS", "NPROC", "NOFILE", "FSIZE", "CPU", "MEMLOCK"):
    kind = getattr(resource, "RLIMIT_" + name)
    most = resource.getrlimit(kind)[1]
    refused(lambda: resource.setrlimit(kind, (most + 1, most + 1)))
    print("BREACH" if most == resource.RLIM_INFINITY else "held", name)
refused(lambda: os.nice(-20) if os.nice(-20) < 10 else 1 / 0)
""",
    ),
]

TOO_MUCH = [
    Attack(
        "bomb with forks",
        """
children = []
try:
    while True:
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        children.append(child)
        if len(children) > 500:
            print("BREACH")
            break
except OSError as problem:
    print("held", problem.strerror, len(children))
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
""",
        shows="held Resource temporarily unavailable",
    ),
    Attack("bomb with forks in the shell", """os.system("bomb() { bomb | bomb & }; bomb"); print("held")""", ends=None),
    Attack(
        "bomb with threads",
        """
stop = threading.Event()
try:
    for number in range(500):
        threading.Thread(target=stop.wait, daemon=True).start()
    print("BREACH")
except RuntimeError as problem:
    print("held", problem)
stop.set()
""",
    ),
    Attack("take 10 GB at once", "refused(lambda: len(b'x' * (10 << 30)))", shows="held MemoryError"),
    Attack(
        "take memory with many processes",
        """
print("held if this kills", flush=True)
for _ in range(6):
    if not os.fork():
        kept = b"x" * (300 << 20)
        time.sleep(60)
        os._exit(0)
time.sleep(15)
print("BREACH")
""",
        shows="more than .* MiB of memory",
        ends=True,
    ),
    Attack(
        "fill the disk with one file",
        """
for place in ("/mnt/data", "/tmp", "/dev/shm", "/home/sandbox"):
    def fill():
        with open(place + "/big", "wb") as file:
            for _ in range(700):
                file.write(bytes(1 << 20))
    refused(fill, errno.ENOSPC, errno.EFBIG)
    os.unlink(place + "/big")
""",
    ),
    Attack(
        "fill the disk with many files",
        """
def fill():
    for number in range(700):
        with open(f"/mnt/data/{number}", "wb") as file:
            file.write(bytes(1 << 20))
refused(fill, errno.ENOSPC)
subprocess.run("rm -rf /mnt/data/*", shell=True)
""",
    ),
    Attack(
        "make millions of empty files",
        """
print("held if this kills", flush=True)
for folder in range(1000):
    os.mkdir(f"/tmp/{folder}")
    for number in range(1000):
        os.close(os.open(f"/tmp/{folder}/{number}", os.O_CREAT))
print("BREACH")
""",
        shows="more than .* files",
        ends=True,
    ),
    Attack(
        "open everything",
        """
kept = []
def hoard():
    while len(kept) < 5000:
        kept.append(socket.socketpair())
refused(hoard, errno.EMFILE)
kept.clear()
def terminals():
    while len(kept) < 5000:
        kept.append(os.openpty())
refused(terminals, errno.EMFILE, errno.ENOSPC)
for pair in kept:
    for fd in pair:
        os.close(fd)
""",
    ),
    Attack("loop for ever", "print('held', flush=True)\nwhile True: pass", timeout_s=1),
    Attack(
        "loop for ever and heed no signal",
        """
print("held", flush=True)
while True:
    try:
        while True:
            time.sleep(0.01)
    except BaseException:
        pass
""",
        timeout_s=1,
        ends=True,
    ),
    Attack(
        "block every signal",
        """
print("held", flush=True)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
while True: pass
""",
        timeout_s=1,
        ends=True,
    ),
    Attack("wait for a program that never ends", "print('held', flush=True)\nos.system('sleep 600')", timeout_s=1),
    Attack(
        "leave the process group and hang",
        "print('held', flush=True)\nos.setpgid(0, 0) if os.getpgrp() != os.getpid() else None\ntime.sleep(600)",
        timeout_s=1,
    ),
    Attack(
        "burn the processor when the call is over",
        """
for _ in range(4):
    if not os.fork():
        os.setsid()
        while True: pass
print("held")
""",
    ),
]

OUTPUT = [
    Attack(
        "print a gigabyte",
        "print('held')\nfor _ in range(1 << 14): print('x' * (1 << 16))\nprint('BREACH')",
        shows="held[\\s\\S]*stopped: it printed more than",
    ),
    Attack(
        "write a gigabyte past Python",
        "print('held')\nfor _ in range(1 << 14): os.write(1, b'x' * (1 << 16))\nprint('BREACH')",
        shows="held[\\s\\S]*stopped: it printed more than",
    ),
    Attack(
        "have a program write without end",
        "print('held')\nsubprocess.run(['yes'])\nprint('BREACH')",
        shows="held[\\s\\S]*stopped: it printed more than",
    ),
    Attack("have a value of 100 MB", "print('held')\n'x' * (100 << 20)", shows="stopped: it printed more than"),
    Attack(
        "print what no database and no terminal takes",
        r"""print("held", "\0\0", "\x1b[2J\x1b]0;owned\a", "\udc80", "‮")""",
        shows="held \ufffd\ufffd",
    ),
    Attack("close the output", "print('held', flush=True)\nos.close(1); os.close(2); sys.stdout.close()"),
    Attack(
        "show a thousand images",
        """
import matplotlib.pyplot as plt
from IPython.display import Image, display
figure = plt.figure(figsize=(1, 1))
from io import BytesIO
content = BytesIO()
figure.savefig(content, format="png")
for _ in range(1000):
    display(Image(content.getvalue()))
print("held")
""",
        shows="left out[\\s\\S]*held",
    ),
    Attack(
        "show an image of 40 MB",
        """
from IPython.display import Image, display
display(Image(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(40 << 20), format="png"))
print("held")
""",
        shows="left out[\\s\\S]*held",
    ),
]

DEATHS = [
    Attack("exit at once", "print('held', flush=True)\nos._exit(7)", shows="exit code 7", ends=True),
    Attack("crash", "print('held', flush=True)\nctypes.string_at(0)", shows="killed by SIGSEGV", ends=True),
    Attack("kill everything", "print('held', flush=True)\nos.kill(-1, 9)\ntime.sleep(5)", ends=None),
    Attack("kill the first process", "os.kill(1, 9); os.kill(1, 15); os.kill(1, 19); time.sleep(0.2); print('held')"),
    Attack("stop itself", "print('held', flush=True)\nos.kill(os.getpid(), 19)", timeout_s=1, ends=True),
    Attack("cut the wire", "print('held', flush=True)\nwire().shutdown(2)\ntime.sleep(5)", shows="ended", ends=True),
    Attack(
        "fork and let the child come out of the cell",
        "child = os.fork()\nif child: os.waitpid(child, 0)\nprint('held')",
    ),
    Attack(
        "die and leave a child that holds the wire",
        "print('held', flush=True)\nif not os.fork(): time.sleep(60)\nos._exit(1)",
        shows="exit code 1",
        ends=True,
    ),
]

FORGERIES = [
    Attack(
        "claim a frame of 4 GB",
        "print('held', flush=True)\nwire().sendall(frame(b'', length=0xFFFFFFFF))\ntime.sleep(5)",
        ends=True,
    ),
    Attack(
        "claim a payload of 4 GB",
        "print('held', flush=True)\nwire().sendall(struct.pack('>II', 2, 0xFFFFFFFF) + b'{}')\ntime.sleep(5)",
        ends=True,
    ),
    Attack(
        "send a pickle",
        """
import pickle
class Owned:
    def __reduce__(self):
        return os.system, ("echo BREACH",)
print("held", flush=True)
wire().sendall(frame(pickle.dumps(Owned())))
time.sleep(5)
""",
        ends=True,
    ),
    Attack(
        "send JSON a million deep",
        "print('held', flush=True)\nwire().sendall(frame(b'[' * 1000000))\ntime.sleep(5)",
        ends=True,
    ),
    Attack(
        "send numbers and keys that hurt parsers",
        """
for body in (b'{"is": "done", "id": ' + b"9" * 4000 + b"}", b'{"is": NaN}', b'{"is": "\\\\ud800"}',
             b'{"is": ["image"]}', b'{"is": "image", "mime": {"a": 1}}', b'{}',
             b'{"is": "done", "id": true, "files": 7}'):
    wire().sendall(frame(body))
print("held")
""",
    ),
    Attack("send no object", "print('held', flush=True)\nwire().sendall(frame(b'[1]'))\ntime.sleep(5)", ends=True),
    Attack(
        "send images that are none",
        """
for _ in range(50):
    wire().sendall(frame(b'{"is": "image", "mime": "image/svg+xml"}', b"<svg onload='BREACH'/>"))
print("held")
""",
    ),
    Attack(
        "flood the wire",
        """
print("held", flush=True)
one = wire()
while True:
    one.sendall(frame(b'{"is": "nothing"}') * 100)
""",
        ends=True,
    ),
    Attack(
        "say that it is done and go on",
        """
print("held", flush=True)
for number in range(50):
    forged = {"is": "done", "id": number, "ok": True, "files": [["../../etc/passwd", 3]]}
    wire().sendall(frame(json.dumps(forged).encode()))
while True: time.sleep(1)
""",
        ends=None,
    ),
    Attack(
        "hand the server descriptors",
        """
one = wire()
for _ in range(20):
    socket.send_fds(one, [frame(b'{"is": "nothing"}')], [0] * 200)
print("held")
""",
    ),
    Attack(
        "send half a frame and hang",
        "print('held', flush=True)\nwire().sendall(struct.pack('>II', 100, 0) + b'{')\ntime.sleep(600)",
        timeout_s=1,
        ends=None,
    ),
    Attack(
        "turn the worker's own functions around",
        """
import io, select
def broken(*_, **__):
    raise SystemExit("BREACH?")
os.scandir = os.stat = os.open = os.getcwd = broken
json.dumps = lambda *_, **__: "[]"
struct.Struct = broken
sys.stdout = sys.stderr = None
os.write(1, b"held\\n")
""",
        ends=None,
    ),
]

FILES_OUT = [
    Attack(
        "leave links, pipes and folders in the place of files",
        """
os.symlink("/etc/passwd", "/mnt/data/passwd.txt")
os.symlink("{canary}", "/mnt/data/canary.txt")
os.symlink("/proc/self/environ", "/mnt/data/environ.txt")
os.symlink("/dev/zero", "/mnt/data/endless.bin")
os.mkfifo("/mnt/data/pipe.csv")
os.mkdir("/mnt/data/folder.csv")
one = socket.socket(socket.AF_UNIX)
one.bind("/mnt/data/socket.csv")
print("held")
""",
    ),
    Attack(
        "give files names that hurt",
        """
for name in ("new\\nline.csv", "\\x1b[2Jescape.csv", "..csv", "right‮left.csv", "back\\\\slash.csv", "a" * 240 + ".csv",
             "-rf.csv", "<script>.html", b"\\xff\\xfe.csv".decode("utf8", "surrogateescape")):
    open("/mnt/data/" + name, "w").write("x")
print("held")
""",
    ),
    Attack(
        "leave ten thousand files",
        "for n in range(10000): os.close(os.open(f'/mnt/data/{n}.txt', os.O_CREAT))\nprint('held')",
    ),
    Attack(
        "nest folders without end",
        """
os.chdir("/mnt/data")
try:
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
except OSError as problem:
    print(problem.strerror)
print("held")
""",
    ),
    Attack(
        "take the ground away",
        "os.mkdir('/mnt/data/here'); os.chdir('/mnt/data/here'); os.rmdir('/mnt/data/here'); print('held')",
    ),
    Attack("make a file that is mostly a hole", "open('/mnt/data/hole', 'wb').truncate(500 << 20); print('held')"),
]

ATTACKS = [*FILES_OF_THE_HOST, *NETWORK, *KERNEL, *TOO_MUCH, *OUTPUT, *DEATHS, *FORGERIES, *FILES_OUT]
