// Uploads that can be taken up again (tus 1.0.0), files dropped on the page, and questions before what cannot be undone.
// Without this script the page's form uploads plainly.
"use strict";
(() => {
  const PIECE = 64 * 1024 * 1024; // octets of one request: what proxies in front commonly let pass
  const AT_ONCE = 3;
  const TRIES = 8;
  const form = document.getElementById("drop");
  const said = (text) => {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  };

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  if (!form) return;

  const list = document.getElementById("sending");
  const input = document.getElementById("files");
  const csrf = form.elements.csrf.value;
  const waiting = [];
  let sending = 0;

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const key = (file) => `mailscope ${file.name} ${file.size} ${file.lastModified}`;
  const remembered = (file, value) => {
    try {
      if (value === undefined) return localStorage.getItem(key(file));
      if (value === null) localStorage.removeItem(key(file));
      else localStorage.setItem(key(file), value);
    } catch { /* a browser that keeps nothing uploads all the same */ }
    return null;
  };
  const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text.slice(0, 300))));

  const ask = (method, url, headers, body, upload) => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.setRequestHeader("Tus-Resumable", "1.0.0");
    request.setRequestHeader("X-CSRF-Token", csrf);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.onload = () => done(request);
    request.onerror = request.onabort = () => failed(new Error("cut"));
    if (upload) {
      upload.request = request;
      request.upload.onprogress = (event) => upload.show(Number(headers["Upload-Offset"]) + event.loaded);
    }
    request.send(body);
  });
  const refusal = (request) => {
    try { return JSON.parse(request.responseText).error; } catch { return `The service answered ${request.status}.`; }
  };

  // One line of the list: name, bar, how far, a way to stop.
  const line = (file) => {
    const item = document.createElement("li");
    const name = document.createElement("bdi");
    const bar = document.createElement("progress");
    const state = document.createElement("span");
    const stop = document.createElement("button");
    name.textContent = file.name;
    bar.max = file.size || 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    stop.type = "button";
    stop.className = "plain";
    stop.textContent = "Stop";
    stop.setAttribute("aria-label", `Stop the upload of ${file.name}`);
    state.className = "state";
    state.textContent = "in line";
    item.append(name, stop, bar, state);
    list.append(item);
    const upload = {
      file, item, stopped: false, request: null, url: null,
      show(octets) {
        bar.value = Math.min(octets, file.size);
        state.textContent = `${Math.floor((100 * Math.min(octets, file.size)) / (file.size || 1))} %`;
      },
      end(text, good) {
        state.textContent = text;
        item.className = good ? "good" : "bad";
        upload.url = null;
        if (good) { bar.remove(); stop.remove(); } else { stop.textContent = "Dismiss"; bar.remove(); }
        said(`${file.name}: ${text}`);
      },
    };
    stop.onclick = () => {
      upload.stopped = true;
      if (upload.request) upload.request.abort();
      if (upload.url) ask("DELETE", upload.url, {}, null).catch(() => {});
      remembered(file, null);
      item.remove();
      said(`${file.name}: stopped`);
      input.focus();
    };
    return upload;
  };

  const begun = async (upload) => {
    const known = remembered(upload.file);
    if (known) {
      const answer = await ask("HEAD", known, {}, null);
      if (answer.status === 200) return [known, Number(answer.getResponseHeader("Upload-Offset"))];
      remembered(upload.file, null);
    }
    const answer = await ask("POST", "/api/uploads", {
      "Upload-Length": String(upload.file.size), "Upload-Metadata": `filename ${encoded(upload.file.name)}`,
    }, null);
    if (answer.status !== 201) throw Object.assign(new Error(refusal(answer)), { final: answer.status !== 429 });
    const url = answer.getResponseHeader("Location");
    remembered(upload.file, url);
    return [url, 0];
  };

  const send = async (upload) => {
    let tries = 0;
    for (;;) {
      try {
        let offset;
        [upload.url, offset] = await begun(upload);
        while (offset < upload.file.size) {
          upload.show(offset);
          const piece = upload.file.slice(offset, offset + PIECE);
          const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
          const answer = await ask("PATCH", upload.url, headers, piece, upload);
          if (answer.status === 409 || answer.status === 423) throw new Error("again");
          if (answer.status !== 204) throw Object.assign(new Error(refusal(answer)), { final: answer.status < 500 || answer.status === 507 });
          offset = Number(answer.getResponseHeader("Upload-Offset"));
          tries = 0;
        }
        remembered(upload.file, null);
        upload.end("handed in", true);
        document.body.dispatchEvent(new Event("look"));
        setTimeout(() => upload.item.remove(), 4000);
        return;
      } catch (error) {
        if (upload.stopped) return;
        tries += 1;
        if (error.final || tries > TRIES) {
          remembered(upload.file, null);
          upload.end(error.final ? error.message : "The service cannot be reached; drop the file again to go on.", false);
          return;
        }
        await pause(Math.min(500 * 2 ** tries, 15000));
      }
    }
  };

  const next = async () => {
    if (sending >= AT_ONCE || !waiting.length) return;
    sending += 1;
    const upload = waiting.shift();
    if (!upload.stopped) await send(upload);
    sending -= 1;
    next();
  };
  const take = (files) => {
    for (const file of files) {
      waiting.push(line(file));
      next();
    }
    if (files.length) said(`${files.length} ${files.length === 1 ? "file" : "files"} being uploaded`);
  };

  form.classList.add("scripted");
  const chosen = () => { take([...input.files]); input.value = ""; };
  input.addEventListener("change", chosen);
  form.addEventListener("submit", (event) => { event.preventDefault(); chosen(); });
  if (input.files.length) chosen(); // before this script was there
  // The list with its search box is drawn anew every few seconds: what is typed just then must not be lost with the old box.
  let typing = 0;
  addEventListener("input", (event) => {
    if (event.target.id !== "search") return;
    const typed = event.target.value;
    clearTimeout(typing);
    typing = setTimeout(() => {
      const box = document.getElementById("search");
      if (!box) return;
      box.value = typed;
      htmx.process(box.form);
      htmx.trigger(box.form, "submit");
    }, 250);
  });
  let over = 0;
  const dragged = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (event) => { if (dragged(event)) { over += 1; form.classList.add("over"); } });
  addEventListener("dragleave", (event) => { if (dragged(event) && --over <= 0) form.classList.remove("over"); });
  addEventListener("dragover", (event) => { if (dragged(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    over = 0;
    form.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });
})();
