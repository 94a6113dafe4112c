#!/usr/bin/env python3
"""What an operator and a business system do, against `docker compose --profile demo up -d`: registers the OAuth client,
adds two accounts, signs in at the provider's pages, sees `mail.received`, sends a mail and sees `mail.sent`.

Needs Python and nothing else; speaks HTTP and NATS as any client would. Exits with 0 when all of it happened."""

import http.cookiejar
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

ADMIN = f"http://127.0.0.1:{os.environ.get('MESH_ADMIN_PORT', '8025')}"
NATS = ("127.0.0.1", int(os.environ.get("MESH_NATS_PORT", "4222")))
SANDBOX_HOST = "sandbox.localhost"
SANDBOX = f"https://{SANDBOX_HOST}:{os.environ.get('MESH_SANDBOX_PORT', '8090')}"
SUPPORT, CUSTOMER = "support@sandbox.test", "customer@sandbox.test"
PATIENCE = 90
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
RUN = uuid.uuid4().hex[:8]

resolve = socket.getaddrinfo


def resolve_localhost(host, *rest, **named):
    """Browsers know that *.localhost is this machine; the C library does not."""
    return resolve("127.0.0.1" if host == SANDBOX_HOST else host, *rest, **named)


socket.getaddrinfo = resolve_localhost


def tell(text):
    print(text, flush=True)


def compose(*arguments):
    return subprocess.run([*COMPOSE, *arguments], check=True, capture_output=True, text=True).stdout


def until(what, ask):
    """Asks until there is an answer; containers take their time to start."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            found = ask()
            if found:
                return found
            last = "nothing yet"
        except (OSError, subprocess.CalledProcessError) as error:
            last = error
        if time.monotonic() > end:
            sys.exit(f"{what}: {last}")
        time.sleep(1)


class Web:
    """A browser or a script: keeps cookies, trusts the sandbox's authority."""

    def __init__(self, ca_pem):
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=ca_pem)
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def ask(self, url, body=None, headers=None):
        """Returns the last page's address and its bytes."""
        request = urllib.request.Request(url, data=body, headers=headers or {})
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.url, answer.read()
        except urllib.error.HTTPError as error:
            shown = urllib.parse.urlsplit(url)._replace(query="").geturl()
            sys.exit(f"{shown} answered {error.code}: {error.read().decode(errors='replace')[:2000]}")

    def sign_in(self, link, mailbox):
        page, _ = self.ask(link)
        address, _, query = page.partition("?")
        if not address.startswith(SANDBOX):
            sys.exit(f"the sign-in link ended at {address}")
        decision = urllib.parse.parse_qsl(query) + [("mailbox", mailbox), ("decision", "approve")]
        return self.ask(address, urllib.parse.urlencode(decision).encode())


class Bus:
    """NATS, as much of it as one subscriber and publisher needs."""

    def __init__(self, user, password):
        self.socket = socket.create_connection(NATS, timeout=PATIENCE)
        self.lines = self.socket.makefile("rb")
        connect = {"verbose": False, "headers": True, "user": user, "pass": password}
        self.socket.sendall(f"CONNECT {json.dumps(connect)}\r\n".encode())
        events = ["account.authenticated", "mail.received", "mail.sent", "mail.failed", "mail.rejected"]
        for number, subject in enumerate([*events, "_INBOX.scenario"]):
            self.socket.sendall(f"SUB {subject} {number}\r\n".encode())
        self.socket.sendall(b"PING\r\n")
        while self.line() != "PONG":
            pass

    def line(self):
        line = self.lines.readline().decode().rstrip("\r\n")
        if not line or line.startswith("-ERR"):
            sys.exit(f"NATS closed the connection: {line}")
        return line

    def publish(self, subject, body):
        """Returns once the stream has stored it."""
        data = json.dumps(body).encode()
        self.socket.sendall(f"PUB {subject} _INBOX.scenario {len(data)}\r\n".encode() + data + b"\r\n")
        return self.wait_for("_INBOX.scenario")

    def wait_for(self, subject):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            kind, *words = self.line().split(" ")
            if kind == "PING":
                self.socket.sendall(b"PONG\r\n")
            if kind not in ("MSG", "HMSG"):
                continue
            header_bytes = int(words[-2]) if kind == "HMSG" else 0
            payload = self.lines.read(int(words[-1]) + 2)[header_bytes:-2]
            body = json.loads(payload)
            shown = json.dumps(body)
            tell(f"   {words[0]}: {shown[:240]}{' …' if len(shown) > 240 else ''}")
            if words[0] == subject:
                return body
        sys.exit(f"{subject} was not published within {PATIENCE} s")


def main():
    tell("1. Waiting for the mesh and the sandbox")
    key = until("no API key in the log of admin", lambda: re.search(r"\bmm_[\w-]{20,}", compose("logs", "admin")))[0]
    ca_pem = until("no sandbox", lambda: compose("exec", "-T", "sandbox", "cat", "/tmp/sandbox-ca.pem"))
    web = Web(ca_pem)
    until("the sandbox does not answer", lambda: web.ask(f"{SANDBOX}/control"))
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    until("admin does not answer", lambda: web.ask(f"{ADMIN}/v1/accounts", headers=headers))
    address = compose("run", "--rm", "-T", "--entrypoint", "cat", "keys", "credentials/clients/nats.url")
    bus = Bus(*re.search(r"nats://(.+):(.+)@", address).groups())

    def create(path, **fields):
        return json.loads(web.ask(f"{ADMIN}/v1/{path}", json.dumps(fields).encode(), headers)[1])

    tell("2. Registering the OAuth client and two accounts of one mailbox")
    client, inbound, outbound = f"sandbox-{RUN}", f"support-{RUN}", f"support-out-{RUN}"
    create(
        "client-configurations",
        key=client,
        profile="custom",
        issuer=SANDBOX,
        client_id="mailmesh",
        client_secret="sandbox",
        scopes=["openid", "email", "offline_access"],
        ca_pem=ca_pem,
    )
    for account, protocol, port in [(inbound, "imap", 8993), (outbound, "smtp", 8465)]:
        create(
            "accounts",
            key=account,
            protocol=protocol,
            host=SANDBOX_HOST,
            port=port,
            encryption="tls",
            login=SUPPORT,
            client_configuration=client,
            ca_pem=ca_pem,
        )

    tell("3. Signing in at the provider's pages")
    page, _ = web.sign_in(create(f"accounts/{inbound}/sign-in")["url"], SUPPORT)
    tell(f"   ended at {page.partition('?')[0]}")
    bus.wait_for("account.authenticated")

    tell("4. A customer's mail arrives in the mailbox")
    subject = f"Where is order {RUN}?"
    question = f"From: {CUSTOMER}\r\nTo: {SUPPORT}\r\nSubject: {subject}\r\nMessage-ID: <{RUN}@sandbox.test>\r\n\r\nHello.\r\n"
    web.ask(f"{SANDBOX}/control/mailboxes/{SUPPORT}/mails", question.encode(), {"Content-Type": "message/rfc822"})
    received = bus.wait_for("mail.received")
    if received["subject"] != subject:
        sys.exit(f"another mail was received: {received['subject']}")

    tell("5. A business system sends the answer")
    bus.publish(
        "mail.send",
        {
            "account": outbound,
            "to": CUSTOMER,
            "subject": f"Re: {subject}",
            "text": "It is on its way.",
            "in_reply_to": f"<{RUN}@sandbox.test>",
            "idempotency_key": RUN,
        },
    )
    bus.wait_for("mail.sent")
    inbox = f"{SANDBOX}/control/mailboxes/{CUSTOMER}/mails"
    mails = [web.ask(f"{inbox}/{mail['uid']}")[1].decode() for mail in json.loads(web.ask(inbox)[1])]
    copies = sum(f"Subject: Re: {subject}" in mail for mail in mails)
    if copies != 1:
        sys.exit(f"the customer has {copies} copies of the answer")
    tell("The customer has the answer, once.")


main()
