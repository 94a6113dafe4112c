#!/usr/bin/env python3
"""Makes the data of an upgrade test: `make.py BINARY FOLDER`, with the binary of the release to upgrade from.

It runs `mailmesh sandbox` and `mailmesh up`, brings mails into every state that an upgrade must carry over, and ends the mesh in the
midst of them. FOLDER then holds what README.md says. Needs psql and pg_dump of Postgres 15 or newer.
"""

import atexit
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

PREFIX = "upgrade"
# An account that is stuck over one mail fetches no other, so each state has a mailbox of its own.
MAILBOXES = {name: f"password-of-{name}" for name in ["support", "billing", "orders", "invoices"]}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(command, log, settings=None):
    """Starts a process that does not outlive this one."""
    process = subprocess.Popen(command, env=os.environ | (settings or {}), stdout=open(log, "w"), stderr=subprocess.STDOUT)
    atexit.register(process.kill)
    return process


def address(name):
    return f"{name}@sandbox.test"


def until(what, check, seconds=60):
    end = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > end:
            sys.exit(f"in vain: {what}")
        time.sleep(0.05)
    return found


def call(method, url, body=None, key=None):
    raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, raw, headers, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return answer.read()


class Nats:
    """As much of NATS as is needed to publish and to ask."""

    def __init__(self, url):
        host, port = url.removeprefix("nats://").split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.lines = self.socket.makefile("rb")
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB answer 1\r\n')

    def ask(self, subject, body=b""):
        self.socket.sendall(b"PUB %s answer %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while not (line := self.lines.readline()).startswith(b"MSG"):
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
        return json.loads(self.lines.read(int(line.split()[-1]) + 2))

    def events(self, name):
        request = json.dumps({"subjects_filter": f"{PREFIX}.{name}.*"}).encode()
        state = self.ask(f"$JS.API.STREAM.INFO.{PREFIX}_EVENTS", request)["state"]
        return sum((state.get("subjects") or {}).values())


class Provider:
    def __init__(self, binary, work):
        self.port, imap, smtp = free_port(), free_port(), free_port()
        command = [binary, "sandbox", f"--oauth-port={self.port}", f"--imap-port={imap}", f"--smtp-port={smtp}"]
        command += [f"--mailbox={address(name)}:{password}" for name, password in MAILBOXES.items()]
        run(command, work / "sandbox.log")
        self.about = until("the sandbox answers", self.describe)
        self.imap, self.smtp = imap, smtp

    def describe(self):
        try:
            return json.loads(self.control("GET", ""))
        except OSError:
            return None

    def control(self, method, path, body=None):
        return call(method, f"http://127.0.0.1:{self.port}/control{path}", body)

    def fault(self, point, name, fault, count=None, after=0):
        rule = {"point": point, "address": address(name), "count": count, "after": after, "fault": fault}
        self.control("POST", "/faults", rule)

    def deliver(self, name, subject, folder="INBOX"):
        raw = (
            f"From: Customer <customer@example.com>\r\nTo: {address(name)}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject.replace(' ', '-')}@example.com>\r\nDate: Mon, 30 Nov 2026 09:00:00 +0000\r\n\r\nbody\r\n"
        )
        self.control("POST", f"/mailboxes/{address(name)}/mails?folder={folder}", raw.encode())

    def export(self):
        """What the test's sandbox begins with: it numbers folders from the moment of its clock on."""
        states = {m["address"]: m["folders"] for m in json.loads(self.control("GET", "/mailboxes"))}
        first = min(folder["uid_validity"] for folders in states.values() for folder in folders)
        mailboxes = []
        for name, password in MAILBOXES.items():
            mails = [self.mail(name, folder["name"], mail["uid"])
                     for folder in states[address(name)]
                     for mail in json.loads(self.control("GET", f"/mailboxes/{address(name)}/mails?folder={folder['name']}"))]
            validity = {folder["name"]: folder["uid_validity"] for folder in states[address(name)]}
            mailboxes.append({"address": address(name), "password": password, "uid_validity": validity, "mails": mails})
        return {"started_at": first - 1, "mailboxes": mailboxes}

    def mail(self, name, folder, uid):
        raw = self.control("GET", f"/mailboxes/{address(name)}/mails/{uid}?folder={folder}")
        return {"folder": folder, "uid": uid, "raw": raw.decode()}


class Mesh:
    def __init__(self, binary, work):
        self.data, self.log = work / "data", work / "up.log"
        self.url = f"http://127.0.0.1:{(admin := free_port())}"
        settings = {
            "NATS__PREFIX": PREFIX,
            # NATS would drop what is older when the test restores it.
            "NATS__STREAMS__EVENTS_MAX_AGE_SECONDS": 0,
            "NATS__STREAMS__RAW_MAX_AGE_SECONDS": 0,
            "ADMIN__LISTEN": f"127.0.0.1:{admin}",
            "AUTH_CALLBACK__LISTEN": f"127.0.0.1:{free_port()}",
            "OPS__LISTEN": f"127.0.0.1:{free_port()}",
            "INBOUND_FETCHER__BACKOFF_MILLISECONDS": 200,
        }
        settings = {f"MAILMESH_{name}": str(value) for name, value in settings.items()}
        self.process = run([binary, "up", "--data", self.data], self.log, settings)
        self.key = until("the mesh is up", lambda: self.said(r"shown this once: (\S+)"))
        until("all services run", lambda: self.said(r"(Ready\.)"))
        connection = (self.data / "connection.toml").read_text()
        self.nats = Nats(re.search(r'url = "(nats://[^"]+)"', connection)[1])
        self.database = re.search(r'url = "(postgres[^"]+)"', connection)[1]

    def said(self, pattern):
        found = re.search(pattern, self.log.read_text())
        return found and found[1]

    def api(self, method, path, body=None):
        return json.loads(call(method, f"{self.url}/v1/{path}", body, self.key))

    def account(self, provider, name, key, protocol, **more):
        port = provider.imap if protocol == "imap" else provider.smtp
        self.api("POST", "accounts", {
            "key": key, "protocol": protocol, "host": "localhost", "port": port, "encryption": "tls",
            "authorisation": "password", "login": address(name), "password": MAILBOXES[name],
            "ca_pem": provider.about["ca_pem"], **more,
        })

    def send(self, key, subject):
        body = {"account": key, "to": "a@example.com", "subject": subject, "text": "t", "idempotency_key": subject}
        self.nats.ask(f"{PREFIX}.mail.send", json.dumps(body).encode())

    def count(self, query):
        command = ["psql", self.database, "-qtA", "-c", f"SELECT count(*) FROM {query}"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def rows(self, what, query, count):
        until(what, lambda: self.count(query) == count)


def inbound(mesh, provider):
    """Received, post-action due, set aside, failed and counted."""
    mesh.account(provider, "support", "support", "imap", folders=["INBOX", "Archive"], after_receive="mark_seen")
    mesh.account(provider, "billing", "billing", "imap", after_receive="mark_seen")
    mesh.account(provider, "orders", "orders", "imap")
    mesh.account(provider, "invoices", "invoices", "imap")
    for number in (1, 2):
        provider.deliver("support", f"received {number}")
        provider.deliver("support", f"archived {number}", "Archive")
    provider.deliver("billing", "marked")
    provider.deliver("invoices", "moved")
    mesh.rows("six mails are received and marked", "received_mails WHERE NOT is_post_action_due", 6)

    # A reply that cannot be read, twice; another mail can be read; then once more.
    huge = {"kind": "huge_literal", "bytes": 1 << 40}
    provider.fault("imap.fetch.body", "support", huge, count=2)
    provider.fault("imap.fetch.body", "support", huge, count=1, after=1)
    provider.deliver("support", "unreadable")
    mesh.rows("a mail is set aside", "quarantined_mails WHERE quarantined_at IS NOT NULL", 1)

    provider.fault("imap.store", "billing", {"kind": "stall"})
    provider.deliver("billing", "unmarked")
    mesh.rows("a post-action is due", "received_mails WHERE is_post_action_due", 1)

    # Alone in its folder, so that it is not set aside.
    provider.fault("imap.fetch.body", "orders", huge)
    provider.deliver("orders", "failed and counted")
    mesh.rows("a failure is counted", "quarantined_mails WHERE quarantined_at IS NULL AND attempts >= 1", 1)


def outbound(mesh, provider):
    """Sent, uncertain, in both stages of sending, queued."""
    for name in MAILBOXES:
        mesh.account(provider, name, f"{name}-out", "smtp", max_connections=1)
    mesh.send("support-out", "sent")
    mesh.rows("a mail is sent", "outbound_mails WHERE state = 'sent'", 1)

    provider.fault("smtp.final_dot", "support", {"kind": "cut"}, count=1)
    mesh.send("support-out", "uncertain")
    mesh.rows("a mail is uncertain", "outbound_mails WHERE state = 'uncertain'", 1)

    provider.fault("smtp.final_dot", "billing", {"kind": "stall"})
    mesh.send("billing-out", "dot sent")
    mesh.rows("a final dot is sent", "send_attempts WHERE stage = 'final_dot' AND outcome IS NULL", 1)

    provider.fault("smtp.mail", "orders", {"kind": "stall"})
    for number in (1, 2):
        mesh.send("orders-out", f"started {number}")
    mesh.rows("attempts are started", "send_attempts WHERE stage = 'started'", 2)

    provider.fault("smtp.rcpt", "invoices", {"kind": "reply", "text": "451 4.2.2 Mailbox full"})
    for number in (1, 2):
        mesh.send("invoices-out", f"queued {number}")
    mesh.rows("mails wait for their next attempt", "outbound_mails WHERE state = 'queued' AND failures = 1", 2)
    until("every event is published", lambda: mesh.count("outbox") == 0)


def end(mesh, provider):
    """Ends the mesh between publishing and recording, with an event that is committed and not published."""
    lock = subprocess.Popen(["psql", mesh.database, "-q"], stdin=subprocess.PIPE, text=True)
    lock.stdin.write("BEGIN; LOCK TABLE received_mails IN EXCLUSIVE MODE;\n")
    lock.stdin.flush()
    locked = "pg_locks WHERE mode = 'ExclusiveLock' AND granted AND relation = 'received_mails'::regclass"
    until("the table is locked", lambda: mesh.count(locked))
    before = mesh.nats.events("mail.received")
    for number in (1, 2):
        provider.deliver("support", f"unrecorded {number}")
    # The second may wait until the first is recorded, if it came after the first was fetched.
    until("one is published", lambda: mesh.nats.events("mail.received") > before)

    nats = int((mesh.data / "nats" / "nats.pid").read_text())
    os.kill(nats, signal.SIGSTOP)
    # Another server: all cursors are void, and nobody has heard of it yet.
    mesh.api("PATCH", "accounts/invoices", {"host": "127.0.0.1", "password": MAILBOXES["invoices"]})
    # Frozen first, so that nothing changes while it is read.
    os.kill(mesh.process.pid, signal.SIGSTOP)
    moment = subprocess.run(["psql", mesh.database, "-qtAc", "SELECT now()"], check=True, capture_output=True, text=True)
    dump = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", mesh.database]
    dump = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    # Killed while it stands still: what the relay sent is not read any more.
    os.kill(nats, signal.SIGKILL)
    mesh.process.kill()
    mesh.process.wait()
    lock.kill()
    return moment.stdout.strip(), plain(dump)


def plain(dump):
    """Without what only psql, or only one version of Postgres, knows."""
    def is_kept(line):
        return line and line != "--" and not line.startswith(("-- ", "SET ", "\\"))
    return "\n".join(filter(is_kept, dump.splitlines())) + "\n"


def pack(source, target):
    with tarfile.open(target, "w:gz") as archive:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                info = tarfile.TarInfo(str(path.relative_to(source.parent)))
                info.size, info.mode = path.stat().st_size, 0o600
                archive.addfile(info, io.BytesIO(path.read_bytes()))


def main(binary, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="upgrade-"))
    print(f"works in {work}")
    # Postgres may run as another user.
    work.chmod(0o755)
    provider = Provider(binary, work)
    mesh = Mesh(binary, work)
    inbound(mesh, provider)
    outbound(mesh, provider)
    moment, dump = end(mesh, provider)
    about = {"dumped_at": moment, "api_key": mesh.key} | provider.export()
    (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    (folder / "postgres.sql").write_text(dump)
    (folder / "opening.key").write_text((mesh.data / "keys" / "opening.key").read_text())
    pack(mesh.data / "nats" / "jetstream", folder / "jetstream.tar.gz")


if __name__ == "__main__":
    main(*sys.argv[1:])
