# SPDX-License-Identifier: MIT
"""
What strace saw of a program, compared call by call with what libvmtrace recorded of it.

    strace's log ──▶ tasks ──▶ address spaces ──▶ calls of each one after its attach point
                                                            │ compare, thread by thread
    traces ────────────────────────────────▶ calls ─────────┘

The attach point of an address space is the library's last opening of /proc/self/maps or smaps before
that of /proc/self/task: between the two it takes its snapshot, and nothing that changes the map comes
between the first of them and the first call that it records. A fork child repeats both for its own
trace. Arguments are compared as registers, all 64 bits of them.

What the library does to its own memory is in the trace too, with the origin `self`. What changes no
mapping is not: its questions for the break, and the pages of its output that it asks for ahead.
"""
import difflib
import json
import re

# Every call of trace.h, but for ioctl and close, which are there with a userfaultfd only.
CALLS = ("mmap munmap mremap mprotect pkey_mprotect brk madvise process_madvise mlock mlock2 "
         "munlock mlockall munlockall mseal remap_file_pages shmat shmdt mbind set_mempolicy "
         "set_mempolicy_home_node prctl io_setup io_destroy").split()
FORKS = "fork vfork clone clone3".split()
EXECS = "execve execveat".split()
# As strace 6.1 prints a call that it is too old for.
UNNAMED = {"syscall_0x1ce": "mseal"}
# PR_SET_VMA, PR_SET_MM, PR_SET_MEMORY_MERGE: the others leave the map alone.
PRCTL_OPTIONS = (0x53564d41, 35, 67)
# capture.c makes these outside its lock: beside another thread's call their order is not known.
MAY_BLOCK = ("mlock", "mlock2", "mlockall")
CLONE_VM = 0x100
MADV_POPULATE_WRITE = 23

LINE = re.compile(r"(\d+) +\[([0-9a-f?]+)\] (.*)$")
BEGUN = re.compile(r"(\w+)\((.*)$")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)$")
RESULT = re.compile(r"\) += (\?|-?\w+)(?: (E\w+))?[^)]*(?:\([^()]*\))?$")
SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+)")
CLONE_FLAGS = re.compile(r"flags=(0x[0-9a-f]+|\d+)")
UNFINISHED = " <unfinished ...>"


def strace_options(log):
    """As raw as strace can, with the address that each call returns to, and only these calls."""
    # With "?" strace takes no offence at a name that it does not know.
    calls = ",".join("?" + name for name in CALLS)
    others = ",".join(FORKS + EXECS + ["openat"])
    return ["-f", "-i", "-o", str(log), "-e", "signal=none", "-X", "raw",
            "-e", f"trace={calls},{others}", "-e", f"raw={calls}"]


class Call:
    """
    One system call. @begin, @end: lines of strace's log, or the number in the trace. @result:
    value and errno, one of which is None; None for a call that did not come back.
    """

    def __init__(self, tid, name, args, begin, ip=0, text=""):
        self.tid, self.name, self.args, self.begin, self.ip, self.text = (tid, name, args, begin,
                                                                          ip, text)
        self.end = self.result = None

    def key(self, nr_args=6):
        return self.name, self.args[:nr_args], self.result


class Space:
    """An address space: from fork or exec on, for all tasks that live in it."""

    def __init__(self, pid):
        self.pid, self.calls = pid, []
        self.opened = self.attached = False


def parse_result(text):
    found = RESULT.search(text)
    if not found or found[1] == "?":
        return None
    if found[2]:
        return None, found[2]
    return int(found[1], 0) % 2**64, None


def parse_args(text):
    return tuple(int(word, 0) % 2**64 for word in text.split(", ")) if text else ()


class Log:
    """strace's log, taken apart: calls put together again, and who is whose child."""

    def __init__(self, path):
        self.steps = []     # (name of a method of Tasks, line, tid, its subject)
        self.parents = {}   # child: (parent, shares its memory)
        self.begun = {}     # tid: the call it is in
        with open(path, errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                found = LINE.match(line)
                if found:
                    self.take(number, int(found[1]), found[2], found[3])

    def take(self, number, tid, ip, text):
        superseded = SUPERSEDED.match(text)
        resumed = RESUMED.match(text)
        begun = BEGUN.match(text)
        if superseded:
            # The task that called execve goes on under the number of the one it replaced.
            self.steps.append(("rename", number, tid, int(superseded[1])))
            self.begun[tid] = self.begun.pop(int(superseded[1]), None)
        elif resumed:
            if self.begun.get(tid):
                self.end(number, tid, resumed[2])
        elif begun:
            self.begin(number, tid, ip, UNNAMED.get(begun[1], begun[1]), begun[2])

    def begin(self, number, tid, ip, name, text):
        call = Call(tid, name, (), number, int(ip, 16) if "?" not in ip else 0,
                    text.removesuffix(UNFINISHED))
        if name in CALLS:
            call.args = parse_args(call.text.split(")")[0])
        self.begun[tid] = call
        self.steps.append(("begin", number, tid, call))
        if text == call.text:
            self.end(number, tid, "")

    def end(self, number, tid, text):
        call = self.begun.pop(tid)
        call.text += text
        call.end = number
        call.result = parse_result(call.text)
        self.steps.append(("end", number, tid, call))
        if call.name in FORKS and call.result and call.result[0]:
            flags = CLONE_FLAGS.search(call.text)
            shares = call.name == "vfork" or bool(flags and int(flags[1], 0) & CLONE_VM)
            self.parents[call.result[0]] = tid, shares


class Tasks:
    """Walks through the log and hands each call to the address space that it was made in."""

    def __init__(self, log):
        self.log, self.space_of, self.spaces = log, {}, []
        for what, number, tid, subject in log.steps:
            getattr(self, what)(number, tid, subject)

    def new_space(self, tid):
        self.space_of[tid] = Space(tid)
        self.spaces.append(self.space_of[tid])
        return self.space_of[tid]

    def space(self, tid):
        if tid in self.space_of:
            return self.space_of[tid]
        parent, shares = self.log.parents.get(tid, (None, False))
        if shares:
            self.space_of[tid] = self.space(parent)
            return self.space_of[tid]
        return self.new_space(tid)

    def rename(self, _, tid, old):
        self.space_of[tid] = self.space(old)

    def begin(self, _, tid, call):
        space = self.space(tid)
        if call.name == "openat" and not space.attached:
            if '"/proc/self/maps"' in call.text or '"/proc/self/smaps"' in call.text:
                space.opened, space.calls = True, []
            space.attached = space.opened and '"/proc/self/task"' in call.text
        elif call.name in CALLS and space.opened and counts(call):
            space.calls.append(call)

    def end(self, _, tid, call):
        if call.name in EXECS and call.result == (0, None):
            self.new_space(tid)


def counts(call):
    """Is it one that the trace is about, and not one that the kernel has begun again?"""
    if "? ERESTART" in call.text:
        return False
    return call.name != "prctl" or call.args[0] % 2**32 in PRCTL_OPTIONS


def read_log(path):
    """The address spaces of a log in which the library was, by process, in order."""
    spaces = {}
    for space in Tasks(Log(path)).spaces:
        if space.attached:
            spaces.setdefault(space.pid, []).append(space)
    return spaces


class Trace:
    """What the comparison needs of one trace."""

    def __init__(self, path):
        self.path, self.calls, self.modules, self.own = path, [], [], []
        with open(path, "rb") as lines:
            for line in lines:
                if line.startswith(b"{") and not line.startswith(b'{"ev":"heap"'):
                    self.take(json.loads(line))

    def take(self, record):
        if record["ev"] == "header":
            self.header = record
        elif record["ev"] == "module" and record["op"] == "load":
            self.modules.append(record)
        elif record["ev"] == "call":
            self.calls.append(traced_call(record))

    def place(self, ip):
        """libc.so.6+0x1234 of an address."""
        for module in reversed(self.modules):
            for start, end, _ in module["segments"]:
                if int(start, 16) <= ip < int(end, 16):
                    return f"{module['path'].rsplit('/', 1)[-1]}+{ip - int(module['base'], 16):#x}"
        return f"{ip:#x}"

    def is_own(self, call):
        """A call of the library's that changes no mapping? At tier all it makes them in libc."""
        gadget = int(self.header["capture"].get("gadget", "0x0"), 16)
        if call.name == "madvise":
            changes = call.args[2] != MADV_POPULATE_WRITE or not self.is_output(call.args[0], call.args[1])
        else:
            changes = call.name != "brk" or call.args[0]
        return not changes and (call.ip == gadget + 2 or self.place(call.ip).startswith("libvmtrace"))

    def is_output(self, start, size):
        return any(int(low, 16) <= start and start + size <= int(high, 16)
                   for low, high, what in self.header["own"] if what == "output")

    def is_raw(self, ip):
        """Is the instruction before @ip neither libc's, the loader's nor vmtrace's?"""
        return not re.match(r"(libc\.so|ld-linux|libvmtrace|libunwind|liblzma)", self.place(ip))


def register(value):
    return (int(value, 16) if isinstance(value, str) else value) % 2**64


def traced_call(record):
    args = record["args"]
    if record["call"] == "io_setup":
        # No register: what the kernel stored.
        args = {name: value for name, value in args.items() if name != "ctx"}
    call = Call(record["tid"], record["call"], tuple(map(register, args.values())),
                record["seq"])
    call.result = ((None, record["errno"]) if "errno" in record else
                   (register(record["ret"]), None))
    call.origin = record["origin"]
    return call


class Comparison:
    """One address space beside its trace."""

    def __init__(self, space, trace):
        self.space, self.trace = space, trace
        self.pairs, self.missing, self.extra, self.mismatched, self.in_flight = [], [], [], [], []
        truth, traced = by_thread(space.calls), by_thread(trace.calls)
        for tid in sorted(truth.keys() | traced.keys()):
            self.compare_thread(truth.get(tid, []), traced.get(tid, []))
        left, self.missing, self.own = self.missing, [], []
        for call in left:
            (self.own if trace.is_own(call) else self.missing).append(call)
        self.disordered = self.find_disorder()

    def has_faults(self):
        """Is there anything in the trace that is not the truth?"""
        return bool(self.extra or self.mismatched or self.disordered)

    def compare_thread(self, truth, traced):
        if truth and truth[-1].result is None:
            # The process ended meanwhile: whether it was made, nobody can tell.
            self.in_flight.append(truth.pop())
        self.match_in_order(truth, traced) or self.match_best(truth, traced)

    def match_in_order(self, truth, traced):
        """All of the trace's calls are the truth's, in its order. Return: false if they aren't."""
        pairs, missing, rest = [], [], iter(truth)
        for call in traced:
            key = call.key()
            for true in rest:
                if true.key(len(call.args)) == key:
                    pairs.append((true, call))
                    break
                missing.append(true)
            else:
                return False
        self.pairs += pairs
        self.missing += missing + list(rest)
        return True

    def match_best(self, truth, traced):
        """Something does not fit: pair what does, and then calls of the same name in each gap."""
        lengths = {call.name: len(call.args) for call in traced}
        matcher = difflib.SequenceMatcher(None, [call.key(lengths.get(call.name)) for call in truth],
                                          [call.key() for call in traced], autojunk=False)
        for what, a, a_end, b, b_end in matcher.get_opcodes():
            if what == "equal":
                self.pairs += zip(truth[a:a_end], traced[b:b_end])
                continue
            left, right = truth[a:a_end], traced[b:b_end]
            while left and right:
                if left[0].name == right[0].name:
                    self.mismatched.append((left.pop(0), right.pop(0)))
                elif len(left) >= len(right):
                    self.missing.append(left.pop(0))
                else:
                    self.extra.append(right.pop(0))
            self.missing += left
            self.extra += right

    def find_disorder(self):
        """Calls that stand in the trace behind one that began only after they had ended."""
        latest, found = 0, []
        for true, call in sorted(self.pairs, key=lambda pair: pair[1].begin):
            if true.name in MAY_BLOCK:
                continue
            if true.end is not None and true.end < latest:
                found.append((true, call))
            latest = max(latest, true.begin)
        return found


def by_thread(calls):
    threads = {}
    for call in calls:
        threads.setdefault(call.tid, []).append(call)
    return threads


def show(call):
    args = ", ".join(hex(arg) for arg in call.args)
    value, error = call.result or ("?", None)
    return f"{call.name}({args}) = {error or (hex(value) if value != '?' else value)}"
