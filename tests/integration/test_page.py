#!/usr/bin/env python3
"""test_page.py: the physician's page in a real browser, against the gateway, a broker and a worker.

The flow from a photograph to its answer, the states in which something goes wrong, accessibility in each state.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from browser import WAIT_MS, chromium, expect_accessible
from gateway import Gateway
from harness import expect, expect_equal

IMAGES = sorted(harness.DATA.glob("*.jpg"))
PHONE = {"width": 360, "height": 740}


class Visit:
    """A tab with the page, and what went wrong in it."""

    def __init__(self, browser, gateway, **options):
        self.origin = f"http://127.0.0.1:{gateway.port}"
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.trouble, self.foreign = [], []
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.trouble.append(message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith((self.origin, "blob:", "data:")) or
                     self.foreign.append(request.url))
        self.page.goto(self.origin + "/")

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def wait_text(self, selector, text):
        self.page.locator(selector).filter(has_text=text).wait_for()

    def visible(self, selector):
        return self.page.locator(selector).is_visible()

    def send(self, key, photo=IMAGES[0]):
        self.page.fill("#key", key)
        self.page.set_input_files("#photo", str(photo))
        self.page.click("#send")

    def refuse(self, path, status, document, **headers):
        """Answers the page's requests for a path instead of the gateway."""
        self.page.route("**" + path, lambda route: route.fulfill(
            status=status, body=json.dumps(document), headers={"Content-Type": "application/json", **headers}))

    def expect_no_trouble(self):
        expect_equal(self.trouble, [], "errors and warnings in the console")
        expect_equal(self.foreign, [], "requests to others than the gateway")


def check_answer(visit, reply):
    prediction = reply["prediction"]
    name = prediction["primary_diagnosis"].replace("_", " ")
    expect_equal(visit.text("#answer-heading").lower(), f"answer: {name}, {100 * prediction['confidence']:.1f} %", "heading")
    expect_equal(visit.page.evaluate("document.activeElement.id"), "answer-heading", "what has the focus")
    rows = visit.page.locator("#diagnoses tr").all_inner_texts()
    expect_equal([row.split("\t")[0].lower() for row in rows],
                 [entry["class"].replace("_", " ") for entry in prediction["differential"]], "diagnoses in their order")
    expect_equal(visit.text("#risk"), f"{prediction['risk_score']} of 100", "risk score")
    expect("dermatologist" in visit.text("#action") or "Keep watching" in visit.text("#action"), visit.text("#action"))
    expect_equal(visit.visible("#abstained"), prediction["abstained"], "whether it says that the model does not decide")
    expect_equal(visit.visible("#untrained"), reply["model_info"]["trained"] is False, "whether it says untrained")
    for said in (reply["model_info"]["model_version"], reply["request_id"]):
        expect(said in visit.text("#facts"), f"{said} is not among {visit.text('#facts')}")
    expect_equal(visit.text("#disclaimer"), reply["regulatory"]["disclaimer"], "disclaimer")


def test_flow(stack):
    with stack.fleet("flow") as fleet, Gateway(fleet) as gateway, chromium() as browser:
        fleet.start("worker").wait_ready()
        client = gateway.add_key("north")
        visit = Visit(browser, gateway)
        expect_accessible(visit.page, "at the beginning")
        visit.page.fill("#age", "54")
        visit.page.select_option("#location", "upper_back")
        visit.page.select_option("#skin", "3")
        visit.page.check("#dermatoscope")
        visit.send(client.key)
        visit.page.locator("#answer").wait_for()
        request_id = json.loads(fleet.answers()[0].value)["request_id"]
        check_answer(visit, client.read(request_id).json())
        job = json.loads(fleet.jobs()[0].value)
        expect_equal(job["metadata"], {"patient_age": 54, "lesion_location": "upper_back", "fitzpatrick_type": 3,
                                       "dermatoscope_attached": True}, "the metadata in the job")
        visit.page.locator("#map-share").wait_for()
        expect_equal(visit.page.evaluate("getComputedStyle(document.getElementById('map')).opacity"), "0", "the map at first")
        visit.page.focus("#map-share")
        visit.page.keyboard.press("End")
        expect_equal(visit.page.evaluate("getComputedStyle(document.getElementById('map')).opacity"), "1", "the map then")
        # The test's model presses photographs into 256 pixels and sees the 224 in the middle.
        expect_equal(visit.page.evaluate("document.getElementById('map').style.width"), "87.5%", "the part that the map covers")
        visit.page.click("summary")
        expect_accessible(visit.page, "with an answer")
        check_review(visit, request_id)
        report = json.loads(fleet.read("feedback_topic")[0].value)
        expect_equal([report[name] for name in ("request_id", "label", "certainty", "reviewed_by")],
                     [request_id, "SCC", "histopathology", "reader-7"], "the report")
        # a second one, and the first again
        visit.send(client.key, IMAGES[1])
        visit.page.locator("#history li").nth(1).wait_for()
        second = visit.text("#facts")
        visit.page.locator("#history button").nth(1).click()
        expect(request_id in visit.text("#facts") and request_id not in second, "the first answer is shown again")
        expect_equal(visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.search]"),
                     [0, 0, "", ""], "what stays behind")
        visit.expect_no_trouble()
        for options in ({"viewport": PHONE, "has_touch": True}, {"color_scheme": "dark"}):
            other = Visit(browser, gateway, **options)
            other.send(client.key)
            other.page.locator("#answer").wait_for()
            expect_accessible(other.page, f"with {options}")
            widths = other.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            expect(widths[0] <= widths[1], f"{options}: the page is {widths[0]} wide, the window {widths[1]}")
            other.expect_no_trouble()
        fleet.check()


PREDICTION = {"primary_diagnosis": "melanoma", "confidence": 0.4, "differential":
              [{"class": "melanoma", "probability": 0.4}, {"class": "melanocytic_nevus", "probability": 0.6}],
              "risk_score": 92, "recommended_action": "urgent_referral", "attention_map_url": None, "abstained": True,
              "abstain_reasons": ["low_confidence"], "review": {"within_h": 48, "reasons": ["abstained"]}}
REPLY = {"request_id": "24d11e45-fe27-4a8e-93da-a18f488a3502", "prediction": PREDICTION,
         "model_info": {"model_version": "<b>m</b>", "trained": True, "inference_time_ms": 1, "preprocessing_time_ms": 2},
         "regulatory": {"disclaimer": "<img src=x onerror=document.title=1>", "fda_clearance": "none"}}


def refusal(status, code):
    return {"type": "about:blank", "title": "", "status": status, "detail": "no", "code": code}


def test_what_goes_wrong(stack):
    with stack.fleet("wrong") as fleet, Gateway(fleet) as gateway, chromium() as browser:
        client = gateway.add_key("north")
        visit = Visit(browser, gateway)
        page = visit.page
        page.click("#send")
        visit.wait_text("#problem", "Enter your access key.")
        expect_equal(page.evaluate("document.activeElement.id"), "key", "the field that is missing has the focus")
        page.fill("#key", client.key)
        page.click("#send")
        visit.wait_text("#problem", "Choose a photograph first.")
        page.set_input_files("#photo", {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
        visit.wait_text("#problem", "That file is no JPEG photograph.")
        page.set_input_files("#photo", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"x"})
        page.fill("#age", "131")
        page.click("#send")
        visit.wait_text("#problem", "The age is a whole number from 0 to 130.")
        expect_accessible(page, "with a complaint")
        page.fill("#age", "")
        page.fill("#key", "ssk_" + "A" * 43)
        page.click("#send")
        visit.wait_text("#problem", "This access key is not known")
        for status, code, said in ((413, "image_too_large", "too large"), (422, "image_undecodable", "no JPEG photograph"),
                                   (409, "conflict", "Start a new one"), (418, "new", "could not do that: no.")):
            page.unroute_all()
            visit.refuse("/v2/analyze", status, refusal(status, code))
            page.click("#send")
            visit.wait_text("#problem", said)
            expect_equal(visit.text("#send"), "Analyse", f"the button after {code}")
        check_retry(visit)
        check_queue_and_text(visit)


def check_retry(visit):
    """Where it may be better next time, the same request is sent again."""
    page, sent = visit.page, []
    page.unroute_all()
    page.route("**/v2/analyze", lambda route: (sent.append(route.request.post_data_json["request_id"]), route.fulfill(
        status=503, body=json.dumps(refusal(503, "overloaded")), headers={"Retry-After": "7"})))
    page.click("#send")
    visit.wait_text("#problem", "The service is busy. Try again in 7 seconds.")
    expect_equal(visit.text("#send"), "Try again", "the button")
    page.unroute_all()
    page.route("**/v2/analyze", lambda route: (sent.append(route.request.post_data_json["request_id"]), route.abort()))
    page.click("#send")
    visit.wait_text("#problem", "The server can't be reached.")
    expect_equal(len(set(sent)), 1, "ids of the tries")


def check_queue_and_text(visit):
    """202, and then an answer whose texts look like markup."""
    page = visit.page
    page.unroute_all()
    visit.refuse("/v2/analyze", 202, {"request_id": REPLY["request_id"], "status": "queued"}, **{"Retry-After": "1"})
    visit.refuse("/v2/analyze/*", 200, REPLY)
    page.click("#send")
    visit.wait_text("#step", "waiting for its analysis")
    expect(all(page.is_disabled(field) for field in ("#photo", "#age", "#send")), "fields while a photograph is analysed")
    visit.wait_text("#answer-heading", "Melanoma, 40.0 %")
    expect_equal(visit.text("#abstained"), "The model does not decide: no diagnosis is likely enough.", "why it abstains")
    expect("within 48 hours" in visit.text("#review"), visit.text("#review"))
    expect_equal(visit.text("#disclaimer"), REPLY["regulatory"]["disclaimer"], "markup is text")
    expect("<b>m</b>" in visit.text("#facts"), "markup is text")
    expect_equal(page.title(), "SkinSight", "no script of an answer has run")
    expect(not visit.visible("#map-share"), "there is no map")
    expect_accessible(page, "with an answer that abstains")
    expect(page.is_enabled("#age"), "a field afterwards")
    visit.refuse("/v2/reviews*", 200, {"reviews": [{"request_id": REPLY["request_id"], "due_at": 1}] * 200})
    page.click("#reviews-load")
    visit.wait_text("#reviews-said", "200 or more reviews are due.")


def check_report(visit):
    """Nothing is reported that nobody chose; a report that was not taken is sent again with its id."""
    page, sent = visit.page, []
    page.click("#feedback-send")
    visit.wait_text("#problem", "Choose the diagnosis and how it was confirmed.")
    expect_equal(page.evaluate("document.activeElement.id"), "feedback-label", "the field that is missing has the focus")
    page.select_option("#feedback-label", "SCC")
    page.select_option("#feedback-certainty", "histopathology")
    page.fill("#feedback-by", "reader-7")
    page.route("**/v2/feedback", lambda route: (sent.append(route.request.post_data_json["feedback_id"]), route.abort()))
    page.click("#feedback-send")
    visit.wait_text("#problem", "The server can't be reached.")
    expect_equal(visit.trouble, ["Failed to load resource: net::ERR_FAILED"], "what the console says of it")
    visit.trouble.clear()
    page.unroute_all()
    page.route("**/v2/feedback", lambda route: (sent.append(route.request.post_data_json["feedback_id"]), route.continue_()))
    page.click("#feedback-send")
    visit.wait_text("#feedback-said", "The report was taken.")
    expect_equal((len(sent), len(set(sent))), (2, 1), "tries and ids of the report")
    expect_equal([page.input_value(f"#feedback-{name}") for name in ("label", "certainty", "by")], ["", "", ""], "the form then")
    page.unroute_all()


def check_review(visit, request_id):
    """The untrained model never decides: its answer is due for a review, and a report closes that."""
    page = visit.page
    page.click("#reviews-load")
    visit.wait_text("#reviews-said", "One review is due.")
    visit.wait_text("#reviews", "Due by")
    page.click("#reviews button")
    page.locator("#answer-heading:focus").wait_for()
    expect(request_id in visit.text("#facts"), visit.text("#facts"))
    expect(not visit.visible("#picture"), "the photograph is not here, and nothing else is shown for it")
    expect_accessible(page, "with a review")
    check_report(visit)
    page.click("#reviews-load")
    visit.wait_text("#reviews-said", "No review is due.")


if __name__ == "__main__":
    harness.main([test_flow, test_what_goes_wrong], "kafka")
