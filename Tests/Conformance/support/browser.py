"""A browser without scripts: it keeps cookies, fills in the forms it is shown, and stops where it is sent away from the platform."""
from urllib.parse import urljoin

import requests
from bs4 import BeautifulSoup

TIMEOUT = 30


class Browser:
    def __init__(self, base):
        self.base = base
        self.session = requests.Session()
        self.pages = []

    def visit(self, address):
        """Follows redirects inside the platform. Returns the page, or the address elsewhere that it was sent to."""
        return self._settle(self.session.get(address, allow_redirects=False, timeout=TIMEOUT))

    def submit(self, page, press=None, **fields):
        """Fills in the page's form as a person would: by the names of its fields."""
        form = page.soup.find("form", attrs={"hidden": False})
        data = {field["name"]: field.get("value", "") for field in form.find_all("input") if field.get("name")}
        data.update(fields)
        button = next((b for b in form.find_all("button") if b.get("name") and (press is None or b.get("value") == press)), None)
        if button is not None:
            data[button["name"]] = button["value"]
        address = urljoin(page.address, form["action"])
        return self._settle(self.session.post(address, data=data, allow_redirects=False, timeout=TIMEOUT))

    def _settle(self, answer):
        while answer.is_redirect:
            address = urljoin(answer.url, answer.headers["location"])
            if not address.startswith(self.base + "/"):
                return address
            answer = self.session.get(address, allow_redirects=False, timeout=TIMEOUT)
        page = Page(answer)
        self.pages.append(page)
        return page

    def sign_in(self, address, person, press="allow"):
        """The whole way: sign-in page, consent page, and back to the application."""
        page = self.visit(address)
        if isinstance(page, Page) and page.is_for("/oauth2/sign-in"):
            page = self.submit(page, email=person.email, password=person.password)
        if isinstance(page, Page) and page.is_for("/oauth2/consent"):
            page = self.submit(page, press=press)
        if isinstance(page, Page):
            raise SystemExit(f"FAILED: the sign-in ended on a page: {page.status} {page.text()[:500]}")
        return page


class Page:
    def __init__(self, answer):
        self.status = answer.status_code
        self.address = answer.url
        self.headers = answer.headers
        self.html = answer.text
        self.soup = BeautifulSoup(answer.text, "html.parser")

    def is_for(self, action):
        form = self.soup.find("form", attrs={"hidden": False})
        return form is not None and form.get("action") == action

    def text(self):
        return self.soup.get_text(" ", strip=True)
