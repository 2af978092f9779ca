#!/usr/bin/env python3
"""Reads, checks and makes OCI layouts and file trees for the peer tests.

It shares no code with the product, so that both cannot be wrong in one way.

  check LAYOUT [--strict]      every descriptor leads to a blob of its digest and
                               size, every diff_id is right; --strict also refuses
                               files that belong to no image (leftovers)
  assemble DST TAG CONFIG TAR...      one image of tar files, plain or gzip
  index DST TAG SRC...         joins the images of layouts to one index
  docker SRC DST TAG           the same image with Docker schema 2 media types
  plain SRC DST TAG            the same image with uncompressed layers
  tree ROOT                    one JSON line for each path below ROOT
  same BEFORE AFTER PLANNED [FIELD,...]   compares two outputs of tree; only the
                               paths in PLANNED may differ, and they must be as it
                               says: lines of path, mode, uid:gid and content
                               (@FILE, ->TARGET or *), tabs between; FIELDs are
                               left out of the comparison
  programs ROOT                the ELF programs in bin, sbin, usr/bin and usr/sbin
"""

import functools
import gzip
import hashlib
import json
import os
import re
import stat
import subprocess
import sys

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
INDEX = (OCI + "index.v1+json", DOCKER + "distribution.manifest.list.v2+json")
MANIFEST = (OCI + "manifest.v1+json", DOCKER + "distribution.manifest.v2+json")
TO_DOCKER = {
    OCI + "manifest.v1+json": MANIFEST[1],
    OCI + "config.v1+json": DOCKER + "container.image.v1+json",
    OCI + "layer.v1.tar+gzip": DOCKER + "image.rootfs.diff.tar.gzip",
    OCI + "layer.v1.tar": DOCKER + "image.rootfs.diff.tar",
}


class Wrong(Exception):
    """What is wrong with a layout or a tree."""


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def blob_path(layout, digest):
    return os.path.join(layout, "blobs", *digest.split(":", 1))


def blob(layout, descriptor):
    """The blob that a descriptor names, checked against digest and size."""
    path = blob_path(layout, descriptor["digest"])
    try:
        data = read(path)
    except OSError as error:
        raise Wrong(f"{descriptor['digest']}: {error.strerror}") from error
    if len(data) != descriptor["size"]:
        raise Wrong(f"{path}: {len(data)} bytes, the descriptor says {descriptor['size']}")
    if sha256(data) != descriptor["digest"]:
        raise Wrong(f"{path}: the content is {sha256(data)}")
    return data


def uncompressed(data):
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


@functools.cache
def diff_id(layout, digest, size):
    return sha256(uncompressed(blob(layout, {"digest": digest, "size": size})))


def put(layout, data, media_type):
    digest = sha256(data)
    write(blob_path(layout, digest), data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def finish(layout, tag, descriptor):
    """Writes the two files that make a directory a layout."""
    write(os.path.join(layout, "oci-layout"), b'{"imageLayoutVersion":"1.0.0"}')
    top = dict(descriptor, annotations={"org.opencontainers.image.ref.name": tag})
    index = {"schemaVersion": 2, "mediaType": INDEX[0], "manifests": [top]}
    write(os.path.join(layout, "index.json"), encode(index))


def encode(document):
    return json.dumps(document, separators=(",", ":")).encode()


def only_image(layout):
    manifests = json.loads(read(os.path.join(layout, "index.json")))["manifests"]
    if len(manifests) != 1:
        raise Wrong(f"{layout}: {len(manifests)} images, expected one")
    return manifests[0]


def check_image(layout, descriptor, seen):
    manifest = json.loads(blob(layout, descriptor))
    seen.add(descriptor["digest"])
    family = DOCKER if descriptor["mediaType"] == MANIFEST[1] else OCI
    parts = [manifest["config"], *manifest["layers"]]
    for part in parts:
        if not part["mediaType"].startswith(family):
            raise Wrong(f"{part['mediaType']} inside a {descriptor['mediaType']}")
        seen.add(part["digest"])
    config = json.loads(blob(layout, manifest["config"]))
    diff_ids = config["rootfs"]["diff_ids"]
    found = [diff_id(layout, layer["digest"], layer["size"]) for layer in manifest["layers"]]
    if found != diff_ids:
        raise Wrong(f"diff_ids are {diff_ids}, the layers' are {found}")
    history = [entry for entry in config.get("history", []) if not entry.get("empty_layer")]
    if "history" in config and len(history) != len(diff_ids):
        raise Wrong(f"{len(history)} history entries for {len(diff_ids)} layers")


def check_descriptor(layout, descriptor, seen):
    if descriptor["mediaType"] in INDEX:
        seen.add(descriptor["digest"])
        for child in json.loads(blob(layout, descriptor))["manifests"]:
            check_descriptor(layout, child, seen)
    elif descriptor["mediaType"] in MANIFEST:
        check_image(layout, descriptor, seen)
    else:
        raise Wrong(f"unknown media type {descriptor['mediaType']}")


def check(layout, strict=None):
    if not os.path.exists(os.path.join(layout, "oci-layout")) and not strict:
        return  # nothing has been published yet
    version = json.loads(read(os.path.join(layout, "oci-layout")))
    if version != {"imageLayoutVersion": "1.0.0"}:
        raise Wrong(f"oci-layout says {version}")
    seen = set()
    path = os.path.join(layout, "index.json")
    if strict or os.path.exists(path):
        for descriptor in json.loads(read(path))["manifests"]:
            check_descriptor(layout, descriptor, seen)
    if strict:
        check_leftovers(layout, seen)


def check_leftovers(layout, seen):
    expected = {os.path.relpath(blob_path(layout, digest), layout) for digest in seen}
    expected |= {"oci-layout", "index.json"}
    found = set()
    for directory, _, names in os.walk(layout):
        found |= {os.path.relpath(os.path.join(directory, name), layout) for name in names}
    if found != expected:
        raise Wrong(f"left over: {sorted(found - expected)}, missing: {sorted(expected - found)}")


def assemble(layout, tag, config_file, *tars):
    config = json.loads(read(config_file))
    layers, diff_ids = [], []
    for tar in tars:
        data = read(tar)
        kind = "layer.v1.tar" + ("+gzip" if data[:2] == b"\x1f\x8b" else "")
        layers.append(put(layout, data, OCI + kind))
        diff_ids.append(sha256(uncompressed(data)))
    config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    config["history"] = [{"created_by": "assemble " + os.path.basename(tar)} for tar in tars]
    publish(layout, tag, put(layout, encode(config), OCI + "config.v1+json"), layers)


def publish(layout, tag, config, layers, media_type=MANIFEST[0]):
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}
    finish(layout, tag, put(layout, encode(manifest), media_type))


def index(layout, tag, *sources):
    manifests = []
    for source in sources:
        top = only_image(source)
        manifest = json.loads(blob(source, top))
        for part in [manifest["config"], *manifest["layers"]]:
            put(layout, blob(source, part), part["mediaType"])
        config = json.loads(blob(source, manifest["config"]))
        entry = put(layout, blob(source, top), top["mediaType"])
        keys = ("architecture", "os", "variant")
        entry["platform"] = {key: config[key] for key in keys if key in config}
        manifests.append(entry)
    document = {"schemaVersion": 2, "mediaType": INDEX[0], "manifests": manifests}
    finish(layout, tag, put(layout, encode(document), INDEX[0]))


def docker(source, layout, tag):
    manifest = json.loads(blob(source, only_image(source)))
    parts = [manifest["config"], *manifest["layers"]]
    config, *layers = [put(layout, blob(source, p), TO_DOCKER[p["mediaType"]]) for p in parts]
    publish(layout, tag, config, layers, MANIFEST[1])


def plain(source, layout, tag):
    manifest = json.loads(blob(source, only_image(source)))
    config = put(layout, blob(source, manifest["config"]), OCI + "config.v1+json")
    layers = [
        put(layout, uncompressed(blob(source, layer)), OCI + "layer.v1.tar")
        for layer in manifest["layers"]
    ]
    publish(layout, tag, config, layers)


def describe(path):
    status = os.lstat(path)
    entry = {
        "type": stat.filemode(status.st_mode)[0],
        "mode": format(stat.S_IMODE(status.st_mode), "04o"),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime": int(status.st_mtime),
        "xattrs": {n: os.getxattr(path, n, follow_symlinks=False).hex()
                   for n in sorted(os.listxattr(path, follow_symlinks=False))},
    }
    if stat.S_ISLNK(status.st_mode):
        entry["target"] = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        entry["sha256"] = sha256(read(path))
        entry["links"] = status.st_nlink
    return entry


def tree(root):
    paths = [root]
    for directory, directories, files in os.walk(root):
        paths += [os.path.join(directory, name) for name in directories + files]
    for path in sorted(paths):
        entry = {"path": "/" + os.path.relpath(path, root).removeprefix("."), **describe(path)}
        print(json.dumps(entry))


def load_tree(path, ignored):
    entries = {}
    for line in read(path).splitlines():
        entry = json.loads(line)
        for field in ignored:
            entry.pop(field, None)
        entries[entry.pop("path")] = entry
    return entries


def load_plan(path, before):
    plan = {}
    for line in read(path).decode().splitlines():
        name, mode, owner, content = line.split("\t")
        uid, gid = owner.split(":")
        plan[name] = {"mode": mode, "uid": int(uid), "gid": int(gid), "mtime": 0, "xattrs": {}}
        if content.startswith("->"):
            plan[name]["target"] = content[2:]
        elif content.startswith("@"):
            plan[name]["sha256"] = sha256(read(content[1:]))
        elif content.startswith("="):
            plan[name]["sha256"] = before[content[1:]]["sha256"]
    return plan


def with_parents(plan, before):
    """The plan and the directories that it must make."""
    whole = dict(plan)
    for path in plan:
        while (path := os.path.dirname(path)) not in before and path not in whole:
            whole[path] = {"type": "d", "mode": "0755", "uid": 0, "gid": 0, "mtime": 0, "xattrs": {}}
    return whole


def differences(path, old, new):
    if old is None or new is None:
        return [f"{path} {'appeared' if old is None else 'vanished'}"]
    names = sorted(name for name in old if old[name] != new.get(name))
    return [f"{path} {name}: {old[name]} -> {new.get(name)}" for name in names]


def same(before_file, after_file, plan_file, fields=""):
    ignored = [field for field in fields.split(",") if field]
    before, after = load_tree(before_file, ignored), load_tree(after_file, ignored)
    plan = with_parents(load_plan(plan_file, before), before)
    wrong = []
    for path in sorted(before.keys() | after.keys() | plan.keys()):
        old = plan.get(path, before.get(path))
        if path in plan:
            old = {name: value for name, value in old.items() if name not in ignored}
        wrong += differences(path, old, after.get(path))
    if wrong:
        raise Wrong("; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""))


def programs(root):
    for directory in ("bin", "sbin", "usr/bin", "usr/sbin"):
        for name in sorted(os.listdir(os.path.join(root, directory))):
            path = os.path.join(root, directory, name)
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
                continue
            with open(path, "rb") as file:
                if re.match(rb"\x7fELF", file.read(4)):
                    print(f"/{directory}/{name}")


def main():
    commands = {f.__name__: f for f in (check, assemble, index, docker, plain, tree, same, programs)}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except (Wrong, OSError, ValueError, KeyError) as error:
        sys.exit(f"{sys.argv[1]}: {error!r}" if isinstance(error, KeyError) else f"{error}")


if __name__ == "__main__":
    main()
