#!/usr/bin/env python3
"""test_gateway_identity.py: who gets in over HTTP, and whose records are seen: a table of credentials, of another clinic's
ids and of links, each with its one answer; all refusals are in the audit. And TLS, whose certificate changes in service.
"""
import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import signal
import ssl
import subprocess
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from gateway import Gateway
from harness import expect, expect_equal, wait_until

IMAGE = sorted(harness.DATA.glob("*.jpg"))[0].read_bytes()
LINK_KEY = "a key that signs links to maps"
ISSUER, AUDIENCE = "https://login.example", "skinsight"


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=stdin, check=True, capture_output=True,
                          timeout=harness.WAIT_S).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """An identity provider with one RSA key: its set, and whatever tokens are wanted."""

    def __init__(self, folder):
        self.key, self.public, self.set = folder / "provider.pem", folder / "provider-public.pem", folder / "jwks.json"
        openssl("genrsa", "-out", self.key, "2048")
        openssl("rsa", "-in", self.key, "-pubout", "-out", self.public)
        modulus = bytes.fromhex(openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().split("=")[1])
        self.set.write_text(json.dumps({"keys": [{"kty": "RSA", "kid": "one", "n": base64url(modulus), "e": "AQAB"}]}))

    def token(self, alg="RS256", kid="one", sign=None, **claims):
        now = int(time.time())
        known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "dr-roe", "iat": now, "exp": now + 600, "site": "north", "role": "analyst"}
        payload = {name: value for name, value in {**known, **claims}.items() if value is not None}
        text = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": alg, "kid": kid}, payload))
        return f"{text}.{base64url((sign or self.sign)(text.encode()))}"

    def sign(self, text):
        return openssl("dgst", "-sha256", "-sign", self.key, stdin=text)

    def hmac(self, text):
        """HS256 with the public key, which everybody has."""
        return hmac.digest(self.public.read_bytes(), text, "sha256")


def link(request_id, expires, key=LINK_KEY):
    """By the words of link.h."""
    digest = hmac.new(hashlib.sha256(key.encode()).digest(), f"attention\0{request_id}\0{expires}".encode(), "sha256")
    return f"/attention/{request_id}.png?expires={expires}&signature={digest.hexdigest()}"


def credential_cases(provider, key, revoked):
    """(what, Authorization or None, status of a GET of north's request)"""
    now = int(time.time())
    good = provider.token()
    head, payload, signature = good.split(".")
    altered = base64url(json.dumps({**json.loads(base64.urlsafe_b64decode(payload + "==")), "site": "south"}).encode())
    bearer = [
        ("the key", key, 200), ("a token", good, 200), ("a role among others", provider.token(role=["x", "reader"]), 200),
        ("a revoked key", revoked, 401), ("a guessed key", "ssk_" + "A" * 43, 401), ("a key cut short", key[:-1], 401),
        ("a key and more", key + "A", 401), ("a key of other letters", key.swapcase(), 401), ("alg none", provider.token("none", sign=lambda text: b""), 401),
        ("alg none with a signature", provider.token("none"), 401), ("HS256 with the public key", provider.token("HS256", sign=provider.hmac), 401),
        ("RS256 signed by HMAC", provider.token(sign=provider.hmac), 401), ("an altered site", f"{head}.{altered}.{signature}", 401),
        ("no signature", f"{head}.{payload}.", 401), ("two parts", f"{head}.{payload}", 401), ("another audience", provider.token(aud="other"), 401),
        ("no audience", provider.token(aud=None), 401), ("another issuer", provider.token(iss=ISSUER + "/"), 401),
        ("an expired token", provider.token(exp=now - 120), 401), ("one without an end", provider.token(exp=None), 401),
        ("one of the future", provider.token(nbf=now + 600), 401), ("an unknown kid", provider.token(kid="two"), 401),
        ("no site", provider.token(site=None), 401), ("an unknown role", provider.token(role="admin"), 401),
        ("a token of another site", provider.token(site="south"), 404)]
    return [(what, f"Bearer {text}", status) for what, text, status in bearer] + [
        ("no header", None, 401), ("an empty one", "", 401), ("Basic", f"Basic {base64.b64encode(b'dr-lee:x').decode()}", 401),
        ("two credentials", f"Bearer {key} {key}", 401), ("no blank", f"Bearer{key}", 401), ("a header of 9 KB", "Bearer " + "A" * 9000, 401)]


def path_cases(request_id, other_id, south, north):
    """(what, who or None, path, status)"""
    later, before = int(time.time() * 1000) + 600000, int(time.time() * 1000) - 1
    good = link(request_id, later)
    return [("another clinic's request", south, f"/v2/analyze/{request_id}", 404), ("a guessed one", south, f"/v2/analyze/{uuid.uuid4()}", 404),
            ("no id", south, "/v2/analyze/..%2f..%2fkeys", 404), ("its own", south, f"/v2/analyze/{other_id}", 200),
            ("a link", None, good, 200), ("the same link again", None, good, 200), ("a link, with any key", south, good, 200),
            ("an expired link", None, link(request_id, before), 404), ("a link of another key", None, link(request_id, later, "another"), 404),
            ("a link for another request", None, good.replace(request_id, other_id), 404),
            ("a link that ends later", None, good.replace(str(later), str(later + 1)), 404),
            ("a signature cut short", None, good[:-1], 404), ("no signature", None, good.split("&")[0], 404),
            ("a link to nothing", None, link(str(uuid.uuid4()), later), 404), ("a key in place of a link", north, f"/attention/{request_id}.png", 404)]


def test_table(stack):
    folder = stack.folder
    provider = Provider(folder)
    (folder / "link-key").write_text(LINK_KEY + "\n")
    (folder / "link-key").chmod(0o600)
    with stack.fleet("identity") as fleet:
        gateway = Gateway(fleet, jwt_jwks=provider.set, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, link_key=folder / "link-key")
        with gateway:
            fleet.start("worker").wait_ready()
            north, south, revoked = gateway.add_key("north"), gateway.add_key("south"), gateway.add_key("north", actor="dr-gone")
            keys = [json.loads(line) for line in harness.run("producer", "keys", "list", "--json", "--api-keys", gateway.keys, check=True).stdout.splitlines()]
            gone = next(key["id"] for key in keys if key["actor"] == "dr-gone")
            harness.run("producer", "keys", "revoke", gone, "--api-keys", gateway.keys, "--store", gateway.options["store"], check=True)
            request_id, other_id = (client.analyze(IMAGE).json()["request_id"] for client in (north, south))
            wrong, refused = [], {}
            for what, authorization, status in credential_cases(provider, north.key, revoked.key):
                answer = gateway.ask("GET", f"/v2/analyze/{request_id}", None, {} if authorization is None else {"Authorization": authorization})
                wrong += [(what, answer.status, status)] if answer.status != status else []
                refused[status] = refused.get(status, 0) + 1
            for what, who, path, status in path_cases(request_id, other_id, south, north):
                answer = gateway.ask("GET", path, None, {"Authorization": f"Bearer {who.key}"} if who else {})
                wrong += [(what, answer.status, status)] if answer.status != status else []
                refused[status] = refused.get(status, 0) + 1
            expect(not wrong, f"(case, its status, the right one): {wrong}")
            expect(sum(refused.values()) >= 45, f"cases: {refused}")
        done = harness.run("producer", "audit", "export", "--store", gateway.options["store"], check=True)
        entries = [json.loads(line)["entry"] for line in done.stdout.splitlines() if "entry" in json.loads(line)]
        counted = {}
        for entry in entries:
            if entry["action"] == "refused":
                code, count = entry["outcome"].split(":")
                counted[code] = counted.get(code, 0) + int(count)
        expect_equal(counted, {"unauthorized": refused[401], "not_found": refused[404]}, "refusals in the audit")


def make_certificate(folder, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / f"{name}-key.pem", "-out", folder / f"{name}.pem")
    return folder / f"{name}.pem", folder / f"{name}-key.pem"


def connect(gateway, certificate):
    """A client that trusts this certificate alone."""
    connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, timeout=harness.WAIT_S,
                                             context=ssl.create_default_context(cafile=certificate))
    connection.connect()
    return connection


def trusts(gateway, certificate):
    try:
        connect(gateway, certificate).close()
        return True
    except ssl.SSLCertVerificationError:
        return False


def get(connection):
    connection.request("GET", "/v2/models")
    response = connection.getresponse()
    response.read()
    return response.status


def test_certificate_changes(stack):
    """SIGHUP: new connections see the new certificate, an open one goes on, and a broken file changes nothing."""
    folder = stack.folder
    first, second = make_certificate(folder, "first"), make_certificate(folder, "second")
    used = folder / "cert.pem", folder / "cert-key.pem"

    def use(files):
        for source, target in zip(files, used):
            target.write_bytes(source.read_bytes())
            target.chmod(0o600)

    use(first)
    with stack.fleet("tls") as fleet, Gateway(fleet, http_tls_cert=used[0], http_tls_key=used[1]) as gateway:
        open_one = connect(gateway, first[0])
        expect_equal(get(open_one), 401, "over TLS, without a key")
        use(second)
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: trusts(gateway, second[0]), "the second certificate")
        expect(not trusts(gateway, first[0]), "the first one is gone")
        expect_equal(get(open_one), 401, "the open connection")
        used[0].write_text("no certificate")
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "event=certificate_not_read" in gateway.log_text(), "the broken file is told")
        expect(trusts(gateway, second[0]), "the second certificate stays")
        plain = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=harness.WAIT_S)
        try:
            plain.request("GET", "/v2/models")
            raise harness.Failure(f"plain HTTP was answered {plain.getresponse().status}")
        except (http.client.HTTPException, ConnectionError):
            plain.close()


if __name__ == "__main__":
    harness.main([test_table, test_certificate_changes], "kafka")
