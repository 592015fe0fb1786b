"""Packs a directory with Python's tarfile: pack.py OUT SOURCE FORMAT [GLOBAL=VALUE...]

What a ustar header cannot hold is left out.
"""

import os
import sys
import tarfile

out, source, form = sys.argv[1:4]
records = dict(record.split("=", 1) for record in sys.argv[4:])


def add(archive, path, name):
    info = archive.gettarinfo(path, name)
    try:
        if info.isreg():
            with open(path, "rb") as content:
                archive.addfile(info, content)
        else:
            archive.addfile(info)
    except ValueError:
        if form != "USTAR_FORMAT":
            raise
        return
    if info.isdir():
        for child in sorted(os.listdir(path)):
            add(archive, os.path.join(path, child), f"{name}/{child}")


with tarfile.open(out, "w", format=getattr(tarfile, form), pax_headers=records) as archive:
    add(archive, source, ".")
