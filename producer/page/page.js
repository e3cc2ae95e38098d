// page.js: the physician's page. It speaks with the gateway that served it and with nobody else. Key, photographs
// and answers are in this page's memory alone. Whatever comes from outside is set as text, never as markup.
"use strict";

const HISTORY_MOST = 50;
const REVIEWS_MOST = 200; // that the server lists
const POLL_MOST_MS = 120000;
const POLL_LEAST_S = 1;
const FIT_SIZE = 64;
const FIT_SHARES = [1, 0.95, 0.9, 0.875, 0.8]; // that networks are made for

const DIAGNOSES = {
    melanoma: ["MEL", "Melanoma"],
    melanocytic_nevus: ["NV", "Melanocytic nevus"],
    basal_cell_carcinoma: ["BCC", "Basal cell carcinoma"],
    actinic_keratosis: ["AK", "Actinic keratosis"],
    benign_keratosis: ["BKL", "Benign keratosis"],
    dermatofibroma: ["DF", "Dermatofibroma"],
    vascular_lesion: ["VASC", "Vascular lesion"],
    squamous_cell_carcinoma: ["SCC", "Squamous cell carcinoma"],
};
const ACTIONS = {
    urgent_referral: "Refer urgently to a dermatologist.",
    routine_referral: "Refer to a dermatologist.",
    monitor: "No referral on this answer alone. Keep watching the lesion.",
};
const REASONS = {
    low_confidence: "no diagnosis is likely enough",
    out_of_distribution: "the photograph is unlike those the model has learnt from",
    image_quality: "the photograph is not good enough",
    abstained: "the model gave no diagnosis of its own",
};
const PROBLEMS = {
    unauthorized: "This access key is not known, or not valid any more.",
    forbidden: "This access key does not allow that.",
    not_found: "The server does not know this request.",
    conflict: "This request was made before with other content. Start a new one.",
    body_too_large: "The photograph is too large.",
    image_too_large: "The photograph is too large.",
    unsupported_media_type: "The server takes JPEG photographs only.",
    image_undecodable: "This file is no JPEG photograph, or it is damaged.",
    rate_limited: "This key has asked for too much.",
    overloaded: "The service is busy.",
    unavailable: "The service is not available at the moment.",
    image_unavailable: "The service could not read the photograph at the moment.",
    deadline_exceeded: "The analysis took too long.",
    timeout: "The answer did not come in time.",
};

const $ = (id) => document.getElementById(id);
const state = {photo: null, photoUrl: "", retry: null, busy: false, shown: null, report: null, history: []};

function words(table, key) {
    return table[key] || String(key).replaceAll("_", " ");
}

function diagnosisName(key) {
    return DIAGNOSES[key] ? DIAGNOSES[key][1] : words({}, key);
}

function element(tag, text) {
    const made = document.createElement(tag);
    if (text !== undefined)
        made.textContent = text;
    return made;
}

function percent(share) {
    return (100 * share).toFixed(1) + " %";
}

// crypto.randomUUID wants a secure context; a gateway behind a proxy may be reached without.
function makeUuid() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function say(text) {
    $("step").textContent = text;
}

function complain(text) {
    const problem = $("problem");
    problem.textContent = text;
    problem.hidden = !text;
    if (text)
        problem.focus();
}

// ---- the photograph ----

// Photographs stay in memory while they are chosen or in the history.
function forgetUrl(url) {
    if (url && url !== state.photoUrl && !state.history.some((kept) => kept.url === url))
        URL.revokeObjectURL(url);
}

function choosePhoto(file) {
    if (!file || state.busy)
        return;
    complain("");
    if (file.type !== "image/jpeg") {
        complain("That file is no JPEG photograph.");
        return;
    }
    const before = state.photoUrl;
    state.photo = file;
    state.photoUrl = URL.createObjectURL(file);
    forgetRetry();
    $("photo-name").textContent = "Photograph chosen, " + Math.max(1, Math.round(file.size / 1024)) + " KiB";
    $("photo-preview").src = state.photoUrl;
    $("photo-preview").hidden = false;
    forgetUrl(before);
}

function readBase64(file) {
    return new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
        reader.onerror = () => reject({text: "The photograph can't be read."});
        reader.readAsDataURL(file);
    });
}

function readMetadata() {
    const metadata = {};
    const age = $("age").value.trim();
    if (age !== "" || $("age").validity.badInput) {
        if (!/^[0-9]{1,3}$/.test(age) || Number(age) > 130)
            throw {text: "The age is a whole number from 0 to 130.", field: "age"};
        metadata.patient_age = Number(age);
    }
    if ($("location").value)
        metadata.lesion_location = $("location").value;
    if ($("skin").value)
        metadata.fitzpatrick_type = Number($("skin").value);
    if ($("dermatoscope").checked)
        metadata.dermatoscope_attached = true;
    return metadata;
}

// ---- the server ----

// Resolves to {status, headers, json}; rejects with {text} where no answer came.
function ask(method, path, body, onSent) {
    return new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open(method, path);
        request.setRequestHeader("Authorization", "Bearer " + $("key").value.trim());
        if (body !== null)
            request.setRequestHeader("Content-Type", "application/json");
        if (onSent)
            request.upload.onprogress = (event) => onSent(event.lengthComputable ? event.loaded / event.total : 0);
        request.onerror = () => reject({text: "The server can't be reached. Check the connection.", again: true});
        request.onload = () => {
            let json = null;
            try {
                json = JSON.parse(request.responseText);
            } catch (error) {
                json = null; // judged by its status
            }
            resolve({status: request.status, retryAfter: Number(request.getResponseHeader("Retry-After")),
                     location: request.getResponseHeader("Location"), json});
        };
        request.send(body);
    });
}

function problemOf(reply) {
    const code = reply.json && reply.json.code;
    const detail = reply.json && reply.json.detail;
    let text = PROBLEMS[code] || "The server could not do that" + (detail ? ": " + detail + "." : ".");
    const again = [429, 503, 504].includes(reply.status) || reply.status === 500;
    if (reply.retryAfter > 0)
        text += " Try again in " + reply.retryAfter + (reply.retryAfter === 1 ? " second." : " seconds.");
    return {text, again};
}

function wait(seconds) {
    return new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(POLL_LEAST_S, seconds || 0)));
}

// A request that is queued is asked for until it is answered.
async function follow(reply) {
    const until = Date.now() + POLL_MOST_MS;
    while (reply.status === 202 && Date.now() < until) {
        say("The photograph is waiting for its analysis.");
        const path = "/v2/analyze/" + encodeURIComponent(reply.json.request_id);
        await wait(reply.retryAfter);
        reply = await ask("GET", path, null);
    }
    if (reply.status === 202)
        throw {text: "The analysis takes unusually long.", again: true};
    return reply;
}

function setBusy(busy) {
    state.busy = busy;
    for (const field of $("ask").elements)
        field.disabled = busy;
    $("progress").hidden = !busy;
}

function forgetRetry() {
    state.retry = null;
    $("send").textContent = "Analyse";
}

// The same body again, with the same id, gives the same answer and no second analysis.
async function makeRequest() {
    if (state.retry)
        return state.retry;
    if (!state.photo)
        throw {text: "Choose a photograph first.", field: "photo"};
    const metadata = readMetadata();
    const url = state.photoUrl;
    const request = {request_id: makeUuid(), metadata, image: await readBase64(state.photo)};
    return {id: request.request_id, url, body: JSON.stringify(request)};
}

async function analyse(event) {
    event.preventDefault();
    if (state.busy)
        return;
    complain("");
    let request = null;
    setBusy(true);
    try {
        if (!$("key").value.trim())
            throw {text: "Enter your access key.", field: "key"};
        say("Reading the photograph.");
        request = await makeRequest();
        say("Sending the photograph.");
        const reply = await follow(await ask("POST", "/v2/analyze", request.body, (share) => {
            $("bar").value = share;
            if (share >= 1) {
                $("bar").removeAttribute("value");
                say("The photograph is being analysed.");
            }
        }));
        if (reply.status !== 200 || !reply.json)
            throw problemOf(reply);
        say("The answer is here.");
        forgetRetry();
        remember({answer: reply.json, url: request.url, at: new Date()});
    } catch (error) {
        setBusy(false); // a disabled field takes no focus
        fail(error, request);
    } finally {
        $("bar").value = 0;
        setBusy(false);
    }
}

function fail(error, request) {
    say("");
    forgetRetry();
    if (error.again && request) {
        state.retry = request;
        $("send").textContent = "Try again";
    }
    complain(error.text || "Something on this page went wrong. Load it again.");
    if (error.field)
        $(error.field).focus();
}

// ---- the answer ----

function addBar(differential) {
    const row = element("tr");
    const name = element("th", diagnosisName(differential.class));
    const value = element("td");
    const meter = element("meter");
    name.scope = "row";
    meter.value = differential.probability;
    meter.setAttribute("aria-hidden", "true"); // the number beside it says the same
    value.append(meter, element("span", percent(differential.probability)));
    row.append(name, value);
    $("diagnoses").append(row);
}

function addFact(name, value) {
    if (value === undefined || value === null)
        return;
    $("facts").append(element("dt", name), element("dd", String(value)));
}

function showNotice(id, text) {
    $(id).textContent = text;
    $(id).hidden = !text;
}

function grayOf(image, share) {
    const canvas = document.createElement("canvas");
    const width = share * image.naturalWidth, height = share * image.naturalHeight;
    canvas.width = canvas.height = FIT_SIZE;
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(image, (image.naturalWidth - width) / 2, (image.naturalHeight - height) / 2, width, height, 0, 0,
                      FIT_SIZE, FIT_SIZE);
    const {data} = context.getImageData(0, 0, FIT_SIZE, FIT_SIZE);
    return Array.from({length: FIT_SIZE * FIT_SIZE}, (_, i) => data[4 * i] + data[4 * i + 1] + data[4 * i + 2]);
}

// A model sees the middle of a photograph, pressed into a square; how much of it that is differs between models, so
// that it is looked for. The map is laid over that part and stretched back.
function fitMap() {
    const picture = $("picture"), map = $("map");
    let best = 1, least = Infinity;
    if (!picture.hidden && picture.naturalWidth) {
        const seen = grayOf(map, 1);
        for (const share of FIT_SHARES) {
            const difference = grayOf(picture, share).reduce((sum, gray, i) => sum + Math.abs(gray - seen[i]), 0);
            if (difference < least)
                [best, least] = [share, difference];
        }
    }
    map.style.width = map.style.height = picture.hidden ? "" : 100 * best + "%";
    map.style.left = map.style.top = 50 * (1 - best) + "%";
}

function shareMap(percent) {
    $("map-share").value = percent;
    $("map").style.opacity = percent / 100;
}

// The link may name another host than the one this page came from; the path is what matters.
function showMap(url) {
    const map = $("map");
    map.hidden = true;
    map.removeAttribute("src");
    $("map-field").hidden = true;
    shareMap($("picture").hidden ? 100 : 0);
    $("map-note").textContent = "There is no picture of what the model looked at.";
    if (!url)
        return;
    const link = new URL(url, location.href);
    map.onload = () => {
        map.hidden = false;
        $("map-field").hidden = false;
        fitMap();
        $("map-note").textContent = "The brighter the colour, the more of the answer came from there. " +
                                    "The model sees the middle of the photograph.";
    };
    map.onerror = () => {
        $("map-note").textContent = "The picture of what the model looked at could not be loaded.";
    };
    map.src = link.pathname + link.search;
}

function show(entry) {
    const {prediction, model_info: model, regulatory} = entry.answer;
    state.shown = entry;
    $("answer").hidden = false;
    $("answer-heading").textContent =
        "Answer: " + diagnosisName(prediction.primary_diagnosis) + ", " + percent(prediction.confidence);
    $("untrained").hidden = model.trained !== false;
    $("action").textContent = words(ACTIONS, prediction.recommended_action);
    showNotice("abstained", prediction.abstained
        ? "The model does not decide: " + prediction.abstain_reasons.map((reason) => words(REASONS, reason)).join("; ") + "."
        : "");
    showNotice("review", prediction.review
        ? "A dermatologist should look at this within " + prediction.review.within_h + " hours."
        : "");
    $("diagnoses").replaceChildren();
    prediction.differential.forEach(addBar);
    $("risk").textContent = prediction.risk_score + " of 100";
    $("risk-bar").value = prediction.risk_score;
    $("picture").hidden = !entry.url;
    if (entry.url)
        $("picture").src = entry.url;
    showMap(prediction.attention_map_url);
    $("facts").replaceChildren();
    addFact("Request", entry.answer.request_id);
    addFact("Model", model.model_version + (model.trained === false ? " (untrained)" : ""));
    addFact("Computed in", model.preprocessing_time_ms + model.inference_time_ms + " ms");
    addFact("FDA clearance", regulatory.fda_clearance);
    $("disclaimer").textContent = regulatory.disclaimer || "";
    forgetReport();
    $("answer-heading").focus();
}

// ---- this session ----

function remember(entry) {
    state.history.unshift(entry);
    for (const old of state.history.splice(HISTORY_MOST))
        forgetUrl(old.url);
    $("history-empty").hidden = true;
    $("history").replaceChildren(...state.history.map((one) => {
        const item = element("li");
        const button = element("button", one.at.toLocaleTimeString() + ": " +
                               diagnosisName(one.answer.prediction.primary_diagnosis) + ", risk " +
                               one.answer.prediction.risk_score);
        button.type = "button";
        button.onclick = () => show(one);
        item.append(button);
        return item;
    }));
    show(entry);
}

// ---- reviews ----

async function openReview(id) {
    complain("");
    try {
        const reply = await ask("GET", "/v2/analyze/" + encodeURIComponent(id), null);
        if (reply.status !== 200 || !reply.json)
            throw problemOf(reply);
        show({answer: reply.json, url: "", at: new Date()});
    } catch (error) {
        fail(error, null);
    }
}

async function loadReviews() {
    complain("");
    $("reviews").replaceChildren();
    try {
        if (!$("key").value.trim())
            throw {text: "Enter your access key.", field: "key"};
        const reply = await ask("GET", "/v2/reviews?state=open", null);
        if (reply.status !== 200 || !reply.json)
            throw problemOf(reply);
        const reviews = reply.json.reviews;
        $("reviews-said").textContent = reviews.length === 0 ? "No review is due."
                                      : reviews.length === 1 ? "One review is due."
                                      : reviews.length + (reviews.length >= REVIEWS_MOST ? " or more" : "") +
                                        " reviews are due.";
        $("reviews").replaceChildren(...reviews.map((review) => {
            const item = element("li");
            const due = new Date(review.due_at);
            const button = element("button", (due < new Date() ? "Overdue since " : "Due by ") + due.toLocaleString() +
                                   ", request " + review.request_id);
            button.type = "button";
            button.onclick = () => openReview(review.request_id);
            item.append(button);
            return item;
        }));
    } catch (error) {
        $("reviews-said").textContent = "";
        fail(error, null);
    }
}

// ---- feedback ----

function forgetReport() {
    state.report = null;
    $("feedback").reset();
    $("feedback-said").textContent = "";
}

function makeReport() {
    for (const field of ["feedback-label", "feedback-certainty"])
        if (!$(field).value)
            throw {text: "Choose the diagnosis and how it was confirmed.", field};
    const report = {
        schema: "skinsight.feedback.v1",
        feedback_id: makeUuid(),
        request_id: state.shown.answer.request_id,
        label: $("feedback-label").value,
        certainty: $("feedback-certainty").value,
        reviewed_at: Date.now(),
    };
    if ($("feedback-by").value.trim())
        report.reviewed_by = $("feedback-by").value.trim();
    return report;
}

// The same report again, with the same id, counts once. Another answer may be shown before it was taken.
async function sendFeedback(event) {
    event.preventDefault();
    const button = $("feedback-send");
    if (button.disabled)
        return;
    complain("");
    button.disabled = true;
    try {
        const report = state.report || makeReport();
        state.report = report;
        $("feedback-said").textContent = "Sending the report.";
        const reply = await ask("POST", "/v2/feedback", JSON.stringify(report));
        if (reply.status < 200 || reply.status > 299)
            throw problemOf(reply);
        if (state.report === report) {
            forgetReport();
            $("feedback-said").textContent = "Thank you. The report was taken.";
        }
    } catch (error) {
        $("feedback-said").textContent = "";
        complain(error.text || "Something on this page went wrong. Load it again.");
        if (error.field)
            $(error.field).focus();
    } finally {
        button.disabled = false;
    }
}

// ---- the beginning ----

function begin() {
    for (const [code, name] of [...Object.values(DIAGNOSES), ["OTHER", "another diagnosis"],
                                ["UNGRADABLE", "the photograph can't be judged"]])
        $("feedback-label").append(new Option(name, code));
    for (const id of ["photo", "camera"])
        $(id).onchange = (event) => choosePhoto(event.target.files[0]);
    for (const kind of ["dragenter", "dragover"])
        $("drop").addEventListener(kind, (event) => {
            event.preventDefault();
            $("drop").classList.add("over");
        });
    for (const kind of ["dragleave", "drop"])
        $("drop").addEventListener(kind, (event) => {
            event.preventDefault();
            $("drop").classList.remove("over");
        });
    $("drop").addEventListener("drop", (event) => choosePhoto(event.dataTransfer.files[0]));
    $("ask").addEventListener("input", forgetRetry);
    $("ask").addEventListener("submit", analyse);
    $("map-share").oninput = (event) => shareMap(event.target.value);
    $("reviews-load").onclick = loadReviews;
    $("feedback").addEventListener("input", () => { state.report = null; });
    $("feedback").addEventListener("submit", sendFeedback);
}

begin();
