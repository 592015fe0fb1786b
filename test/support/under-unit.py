"""under-unit.py UNIT WRITABLE COMMAND…: runs a command with the system calls, address families, capabilities and
umask that a unit of systemd leaves it, on a machine that systemd has not booted, and with a system that can be read
only but for one directory. Sets of system calls are those of systemd-analyze."""

import os
import re
import socket
import subprocess
import sys

import seccomp

unit, writable, command = sys.argv[1], sys.argv[2], sys.argv[3:]
settings = [line.strip().split("=", 1) for line in open(unit) if re.match(r"\w+=", line)]
values = lambda key: [value for name, value in settings if name == key]

if values("ProtectSystem") != ["strict"]:
    sys.exit("the unit leaves the system writable")
os.unshare(os.CLONE_NEWNS)
for arguments in (
    ["--make-rslave", "/"],
    ["--bind", writable, writable],
    ["-o", "remount,bind,ro=recursive", "/"],
    ["-o", "remount,bind,rw", writable],
):
    subprocess.run(["mount", *arguments], check=True)

sets = {}
listing = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True)
for line in listing.stdout.splitlines():
    if line.startswith("@"):
        members = sets.setdefault(line.strip(), [])
    elif line.startswith(" ") and not line.strip().startswith("#"):
        members.append(line.strip())


def calls(name):
    if not name.startswith("@"):
        return {name}
    return set().union(*(calls(member) for member in sets[name]))


allowed = calls("@default") | {"execve"}
for value in values("SystemCallFilter"):
    named = set().union(*(calls(name) for name in value.lstrip("~").split()))
    allowed = allowed - named if value.startswith("~") else allowed | named
if len(allowed) < 100:
    sys.exit("no filter of system calls was found")
rules = seccomp.SyscallFilter(seccomp.ERRNO(1))
[families] = values("RestrictAddressFamilies")
for family in families.split():
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
for call in allowed - {"socket"}:
    try:
        rules.add_rule(seccomp.ALLOW, call)
    except RuntimeError:
        pass  # One of another architecture.
rules.load()

[umask], [capabilities] = values("UMask"), values("CapabilityBoundingSet")
os.umask(int(umask, 8))
kept = ",".join(["-all", *(f"+{name[4:].lower()}" for name in capabilities.split())])
os.execvp("setpriv", ["setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}", "--no-new-privs", "--", *command])
