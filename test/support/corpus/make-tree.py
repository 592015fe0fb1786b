"""Makes the tree that the corpus' archives hold: make-tree.py DIRECTORY

Everything that a layer can hold, and that archives are known to lose or to damage. Who is not root gets it without
devices, owners, and the attributes and modes that only root can have or read.
"""

import os
import struct
import sys

root = os.fsencode(sys.argv[1])
privileged = os.geteuid() == 0
os.umask(0)


def at(path):
    full = root + b"/" + path
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def file(path, content=b"content"):
    with open(at(path), "wb") as made:
        made.write(content)
    return at(path)


def sparse(path, size, *pieces):
    with open(at(path), "wb") as made:
        for offset, piece in pieces:
            made.seek(offset)
            made.write(piece)
        made.truncate(size)


def path_of(length):
    """A path with so many bytes, the `./` before it included."""
    path, digit = b"p", b"%d" % (length % 10)
    rest = length - len(b"./p")
    while rest > 0:
        name = min(rest - 1, 90)
        if rest - 1 - name == 1:
            name -= 1
        path += b"/" + digit * name
        rest -= 1 + name
    return path


# Names.
for name in [
    b"space name", b"tab\tname", b"new\nline", b"back\\slash", b"quote\"'", b"-dash", b"*?[a]", b".hidden", b"end.",
    b"a=b", b"100%25", "caf\u00e9".encode(), b"caf\xe9", b"\xff\xfe\x80", b"\x01\x7f", b"n" * 255,
    ("\u20ac" * 85).encode(),
]:  # fmt: skip
    file(b"names/" + name, name)
os.makedirs(at(b"names/directory \xff/x"))
os.makedirs(at(b"names/" + b"d" * 255))
os.symlink(b"names/caf\xe9", at(b"names/link \xfe"))
for length in [98, 99, 100, 101, 102, 155, 156, 157, 255, 256, 257, 258, 512]:
    file(path_of(length), b"%d" % length)
file(b"deep/" + b"/".join([b"d" * 40] * 40) + b"/f")

# Types, and links to each of them.
file(b"t/empty", b"")
file(b"t/block", b"x" * 512)
file(b"t/odd", b"x" * 1025)
for length in [1, 99, 100, 101, 255, 256, 1000, 4095]:
    os.symlink(b"t" * length, at(b"t/symlink-%d" % length))
os.symlink(b"/absolute/../target", at(b"t/absolute"))
os.symlink(b"caf\xe9", at(b"t/not-utf8"))
os.mkfifo(at(b"t/fifo"), 0o640)
file(b"links/a")
for name in [b"b", b"sub/c", b"l" * 150]:
    os.link(at(b"links/a"), at(b"links/" + name))
os.link(file(b"links/" + b"q" * 120), at(b"links/r"))
os.symlink(b"a", at(b"links/s1"))
os.link(at(b"links/s1"), at(b"links/s2"), follow_symlinks=False)
os.mkfifo(at(b"links/fifo1"))
os.link(at(b"links/fifo1"), at(b"links/fifo2"))
if privileged:
    for name, mode, major, minor in [
        (b"null", 0o020666, 1, 3),
        (b"sda", 0o060660, 8, 0),
        (b"large-major", 0o020600, 511, 255),
        (b"large-minor", 0o060600, 259, 262143),
        (b"larger-minor", 0o060600, 259, 1048575),
    ]:
        os.mknod(at(b"t/" + name), mode, os.makedev(major, minor))

# Modes and owners.
for mode in [0o4755, 0o2755, 0o6711, 0o1777, 0o7777, 0o400, 0o444] + [0] * privileged:
    os.chmod(file(b"m/file-%04o" % mode), mode)
for mode in [0o4755, 0o2775, 0o1777, 0o7777, 0o500] + [0] * privileged:
    file(b"m/directory-%04o/f" % mode)
    os.chmod(at(b"m/directory-%04o" % mode), mode)
if privileged:
    for uid, gid in [(1, 2), (65534, 65534), (2097151, 2097151), (2097152, 2097153), (4294967294, 4294967294)]:
        path = file(b"o/%d-%d" % (uid, gid))
        os.chown(path, uid, gid)
        os.chmod(path, 0o6755)
        os.mkdir(at(b"o/d%d" % uid))
        os.chown(at(b"o/d%d" % uid), uid, gid)
    os.symlink(b"x", at(b"o/link"))
    os.lchown(at(b"o/link"), 1234, 5678)

# Extended attributes.
ANY = 0xFFFFFFFF


def acl(*entries):
    """linux/posix_acl_xattr.h: version 2, then tag, permissions and ID of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


path = file(b"x/user")
for name, value in [
    (b"text", b"text"),
    (b"binary", bytes(range(256))),
    (b"empty", b""),
    (b"line", b"a\nb=c\n"),
    (b"long", b"v" * 2000),
    (b"a=b", b"1"),
    (b"caf\xe9", b"2"),
    (b"100%25", b"3"),
]:
    os.setxattr(path, b"user." + name, value)
os.mkdir(at(b"x/directory"))
os.setxattr(at(b"x/directory"), b"user.on", b"directory")
access = acl((1, 6, ANY), (2, 7, 1234), (4, 4, ANY), (8, 5, 5678), (16, 7, ANY), (32, 0, ANY))
os.setxattr(file(b"x/acl"), b"system.posix_acl_access", access)
os.mkdir(at(b"x/acl-default"))
default = acl((1, 7, ANY), (2, 5, 1234), (4, 5, ANY), (16, 5, ANY), (32, 4, ANY))
os.setxattr(at(b"x/acl-default"), b"system.posix_acl_default", default)
if privileged:
    for name, mode in [(b"x/capability", 0o755), (b"x/capability-setuid", 0o4755)]:
        path = file(name)
        os.chown(path, 1000, 1000)
        os.chmod(path, mode)
        os.setxattr(path, b"security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    os.setxattr(file(b"x/trusted"), b"trusted.key", b"\x00\xff")
    os.symlink(b"x", at(b"x/link"))
    os.setxattr(at(b"x/link"), b"trusted.on", b"link", follow_symlinks=False)
    os.mkfifo(at(b"x/fifo"))
    os.setxattr(at(b"x/fifo"), b"trusted.on", b"fifo")

# Sparse files, of the blocks that file systems have.
K = 4096
sparse(b"s/none", 3 * K, (0, b"n" * 3 * K))
sparse(b"s/begin", 5 * K, (4 * K, b"e" * K))
sparse(b"s/end", 5 * K, (0, b"b" * K))
sparse(b"s/all", 8 * K)
sparse(b"s/odd", 8 * K + 17, (2 * K + 5, b"odd"))
sparse(b"s/many", 60 * K, *[(i * 2 * K, b"%d" % (i % 10) * K) for i in range(30)])
sparse(b"s/" + b"l" * 150, 4 * K, (K, b"x"))
os.setxattr(at(b"s/odd"), b"user.sparse", b"yes")

# Times in nanoseconds; those of directories last.
S = 10**9
for name, ns in [
    (b"epoch", 0),
    (b"first", 1_000_000),
    (b"before", -1_000_000),
    (b"minus", -1_500_000_000),
    (b"1901", -(2**31) * S),
    (b"1960", -315_532_799_250_000_000),
    (b"2038", 2**31 * S + 5),
    (b"2242", (8**11 - 1) * S),
    (b"2243", 8**11 * S + 123_456_789),
    (b"fraction", 1_700_000_000_123_456_789),
    (b"half", 1_700_000_000_500_000_000),
]:
    os.utime(file(b"m/time " + name), ns=(ns, ns))
os.symlink(b"x", at(b"m/time link"))
os.utime(at(b"m/time link"), ns=(5, -987_654_321 * S), follow_symlinks=False)
os.utime(at(b"t/fifo"), ns=(5, 1_234_567_890_987_654_321))
for directory, _, _ in os.walk(root, topdown=False):
    os.utime(directory, ns=(0, 1_600_000_000 * S + len(directory[len(root):]) * 1_000_000_001))
os.chmod(root, 0o751)
os.utime(root, ns=(0, 1_111_111_111_111_111_111))
