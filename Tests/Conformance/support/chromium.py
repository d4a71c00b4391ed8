"""A headless Chromium, spoken to over the DevTools protocol (apt install chromium; CHROMIUM names another)."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

import websocket

PROGRAM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TIMEOUT = 20

# What a key does besides being pressed: its code and the text that it writes.
KEYS = {
    "Enter": (13, "\r"), "Escape": (27, None), "Tab": (9, None), "ArrowDown": (40, None), "ArrowUp": (38, None), "ArrowLeft": (37, None),
    "ArrowRight": (39, None), "Home": (36, None), "End": (35, None), "/": (191, "/"), " ": (32, " "),
}


class Chromium:
    def __init__(self):
        if not PROGRAM:
            raise SystemExit("FAILED: no Chromium is installed")
        self.profile = tempfile.mkdtemp(prefix="trionex-chromium-")
        options = [
            "--headless=new", "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={self.profile}", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
        ]
        if os.geteuid() == 0:
            options.append("--no-sandbox")
        self.process = subprocess.Popen([PROGRAM, *options, "about:blank"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.sent = 0
        self.events = []
        try:
            port = self.wait("Chromium listens", self._port)
            pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=TIMEOUT))
            address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            self.socket = websocket.create_connection(address, timeout=TIMEOUT)
        except BaseException:
            self.close()
            raise

    def _port(self):
        try:
            with open(os.path.join(self.profile, "DevToolsActivePort")) as file:
                return int(file.readline())
        except (FileNotFoundError, ValueError):
            return None

    def wait(self, what, condition):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise SystemExit(f"FAILED: {what}: not within {TIMEOUT} s")

    def call(self, method, **parameters):
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.sent:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def said(self, method):
        """What the browser told about one kind of event since it was started."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def run(self, script):
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def press(self, *keys):
        """Keys as a person presses them, one after the other."""
        for key in keys:
            number, text = KEYS[key]
            pressed = {"key": key, "code": {"/": "Slash", " ": "Space"}.get(key, key), "windowsVirtualKeyCode": number}
            down = pressed | {"text": text} if text else pressed
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **down)
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def write(self, text):
        """Text where the focus is."""
        self.call("Input.insertText", text=text)

    def accessible(self):
        """The accessibility tree as a list of (role, name, node), without what screen readers are not told."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""), node) for node in nodes if not node.get("ignored") and "role" in node
        ]

    def close(self):
        try:
            self.call("Browser.close")
        except Exception:  # It closes the connection, too.
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.profile, ignore_errors=True)
