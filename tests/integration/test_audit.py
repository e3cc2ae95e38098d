#!/usr/bin/env python3
"""test_audit.py: keys and the audit from the command line: a secret is shown once and stands nowhere else; an export is
judged with the public key alone, and what was changed in it is named. The hashes are calculated again in Python."""
import hashlib
import json
import os
import pathlib
import pwd
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, run
from program_tests import run_tests


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=harness.WAIT_S)


def environment(folder):
    return harness.clean_environment(SKINSIGHT_API_KEYS=str(folder / "keys.json"),
                                     SKINSIGHT_STORE=f"sqlite://{folder}/store.db", SKINSIGHT_AUDIT_CHAIN="clinic")


def keys(folder, *arguments):
    return run("producer", "keys", *arguments, env=environment(folder), check=True)


def add_key(folder, actor):
    done = keys(folder, "add", "--actor", actor, "--site", "north", "--role", "analyst", "--urgent")
    secret = done.stdout.strip()
    expect(secret.startswith("ssk_") and len(secret) == 47 and secret not in done.stderr, "the secret, alone on its line")
    return secret


def audit(folder, *arguments):
    return run("producer", "audit", *arguments, env=environment(folder))


def test_keys(parent):
    folder = parent / "keys"
    folder.mkdir()
    secrets = [add_key(folder, f"actor-{i}") for i in range(3)]
    listed = [json.loads(line) for line in keys(folder, "list", "--json").stdout.splitlines()]
    expect_equal([key["actor"] for key in listed], ["actor-0", "actor-1", "actor-2"], "keys")
    keys(folder, "revoke", listed[1]["id"])
    listed = [json.loads(line) for line in keys(folder, "list", "--json").stdout.splitlines()]
    expect_equal([key["revoked_at"] is None for key in listed], [True, False, True], "good keys")
    stored = json.loads((folder / "keys.json").read_text())
    expect_equal([key["sha256"] for key in stored["keys"]],
                 [hashlib.sha256(secret.encode()).hexdigest() for secret in secrets], "hashes")
    expect_equal(stat.S_IMODE((folder / "keys.json").stat().st_mode), 0o600, "mode of the file")
    for path in folder.iterdir():
        for secret in secrets:
            expect(secret.encode() not in path.read_bytes(), f"a secret stands in {path.name}")
    again = run("producer", "keys", "revoke", listed[1]["id"], env=environment(folder))
    expect(again.returncode == 1 and "revoked already" in again.stderr, again.stderr)
    exported = [json.loads(line).get("entry", {}) for line in audit(folder, "export").stdout.splitlines()]
    expect_equal([(e["action"], e["actor"]) for e in exported if e.get("action", "").startswith("key_")],
                 [(action, f"command:{pwd.getpwuid(os.getuid()).pw_name}") for action in 3 * ["key_added"] + ["key_revoked"]], "entries of keys")
    config = run("producer", "serve", "--print-config", "--store", "postgresql://me:s3cret@db/skinsight", check=True)
    expect("s3cret" not in config.stdout and "me:***@db" in config.stdout, "the store's password is hidden")


def make_export(folder):
    openssl("genpkey", "-algorithm", "ed25519", "-out", folder / "key.pem")
    openssl("pkey", "-in", folder / "key.pem", "-pubout", "-out", folder / "public.pem")
    for i in range(4):
        add_key(folder, f"actor-{i}")
    expect_equal(audit(folder, "export", "--output", folder / "audit.jsonl").returncode, 0, "export")
    return (folder / "audit.jsonl").read_bytes()


def verify(folder, export):
    (folder / "changed.jsonl").write_bytes(export)
    done = run("producer", "audit", "verify", folder / "changed.jsonl", "--public-key", folder / "public.pem")
    return done.returncode, done.stdout


def test_export(parent):
    folder = parent / "audit"
    folder.mkdir()
    export = make_export(folder)
    lines = export.decode().splitlines()
    last = bytes(32)
    for line in lines[1:]:
        text = line[len('{"entry":'):line.index(',"hash":')]
        entry = json.loads(text)
        expect_equal(text, json.dumps(entry, separators=(",", ":"), sort_keys=True), "the canonical text")
        last = hashlib.sha256(last + text.encode()).digest()
        expect_equal(json.loads(line)["hash"], last.hex(), f"hash of entry {entry['seq']}")
    actions = [json.loads(line)["entry"]["action"] for line in lines[1:]]
    expect_equal(actions, 4 * ["key_added"] + ["audit_read"], "entries")  # the export itself is the last one
    code, said = verify(folder, export)
    expect(code == 0 and "entries 1 to 5, whole" in said and "5 unanchored" in said, said)
    code, said = verify(folder, export.replace(lines[3].encode(), lines[3].replace("north", "south").encode()))
    expect(code == 1 and "entry 3 of chain clinic, or its hash, was changed" in said, said)
    code, said = verify(folder, ("\n".join(lines[:3] + lines[4:]) + "\n").encode())
    expect(code == 1 and "entries 3 to 3 of chain clinic are missing" in said, said)
    unsigned = run("producer", "audit", "verify", folder / "audit.jsonl")
    expect_equal(unsigned.returncode, 2, "verify without a public key")


if __name__ == "__main__":
    run_tests([test_keys, test_export], "audit", lambda data: data.mkdir())
