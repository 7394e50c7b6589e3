// Makes the console smoother; every page works without it. No inline code, no evaluation, nothing from elsewhere.
(() => {
  'use strict';
  const root = document.documentElement;
  root.classList.add('js');

  const SECOND_SUBMIT_MS = 1000;
  const POLL_MS = 5000;
  const REST_MS = 500;
  const PART_POLL_MS = 2000;
  const COPIED_MS = 2000;
  const TEST_POLL_MS = 1500;
  const TEST_POLLS_MAX = 40;
  const CHORD_MS = 1500;
  const FOCUSABLE = 'input:not([type=hidden]):not(.default-submit), select, textarea';

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // A failure is said at once, the rest when there is a pause.
  const say = (text, failed) => {
    const live = byId(failed ? 'alert' : 'live');
    if (!live) return;
    live.textContent = '';
    setTimeout(() => { live.textContent = text; }, 50);
  };

  const ask = async (url, options) => {
    const answer = await fetch(url, { credentials: 'same-origin', ...options });
    const type = answer.headers.get('content-type') || '';
    if (!type.startsWith('text/html') || answer.redirected) throw new Error('not the page asked for');
    return answer;
  };
  const parse = (text) => new DOMParser().parseFromString(text, 'text/html');
  const page = async (url, options = {}) => parse(await (await ask(url, options)).text());
  // The same, where lines of a list come before it, each as soon as there is one.
  const pageWithSteps = async (url, options, step) => {
    const reader = (await ask(url, options)).body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (let part; !(part = await reader.read()).done;) {
      text += decoder.decode(part.value, { stream: true });
      for (let end; text.startsWith('<li') && (end = text.indexOf('\n')) > 0; text = text.slice(end + 1)) {
        step(one('li', parse(text.slice(0, end))));
      }
    }
    return parse(text);
  };

  // Nobody pressed anything: it keeps no session alive.
  const BY_ITSELF = { headers: { 'consign-by-itself': '1' } };

  // Text that is not saved; secrets that were shown.
  let typed = false;
  const settle = (within = document) => {
    all('[data-blank]', within).forEach((row) => row.remove());
  };
  // What the server cannot know: where this page is seen at.
  const ready = (within = document) => {
    settle(within);
    all('[data-unless-at]', within).forEach((note) => { note.hidden = note.dataset.unlessAt === location.origin; });
  };

  // Secrets are not sent for other fields; those that stay are taken over. Rows are known by their ids.
  const carry = (from, to) => {
    const key = (input) => {
      const row = input.closest('[data-row]');
      return row ? one('[name$=".id"]', row).value : input.id;
    };
    const fields = all('[data-secret]', to);
    for (const old of all('[data-secret]', from).filter((input) => input.value)) {
      const input = fields.find((field) => field.name === old.name && key(field) === key(old));
      if (!input) continue;
      input.value = old.value;
      const box = input.closest('details.secret');
      if (box) box.open = true;
    }
  };
  // Addresses that begin as that of the credential, until someone said which.
  const follow = (address) => {
    const own = /^https?:\/\/[^/{}\s]+/.exec(address.value.trim());
    if (!own) return;
    all('[data-follows]').forEach((field) => {
      const start = field.dataset.follows;
      if (!field.value.startsWith(start)) return;
      field.dataset.follows = `${own}/`;
      field.value = `${own}/${field.value.slice(start.length)}`;
    });
  };

  // Drop-downs that change fields. Secrets are not sent.
  const refresh = async (select) => {
    const form = select.form;
    const values = new URLSearchParams();
    for (const field of form.elements) {
      if (!field.name || field.type === 'submit' || (/^(checkbox|radio)$/.test(field.type) && !field.checked)) continue;
      // An empty value in its place: repeated names stay in step.
      values.append(field.name, 'secret' in field.dataset ? '' : field.value);
    }
    try {
      const fresh = await page(select.dataset.refreshUrl, { method: 'POST', body: values });
      for (const id of select.dataset.refreshTarget.split(' ')) {
        const [target, part] = [byId(id), fresh.getElementById(id)];
        ready(part);
        carry(target, part);
        if (target.open) part.open = true;
        target.replaceWith(document.adoptNode(part));
      }
      if (!select.isConnected) byId(select.id)?.focus();
      const choice = select.selectedOptions?.[0].text || select.value;
      say(`Fields for ${choice} are shown.`);
    } catch {
      const button = one('[name=show_fields]', select.parentElement);
      form.requestSubmit(button || undefined);
    }
  };

  const copy = async (button) => {
    const from = byId(button.dataset.copy);
    const text = from && 'value' in from ? from.value : (from || button).textContent.trim();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without https there is no clipboard object; a selected field can still be copied.
      if (from && from.select) from.select(); else getSelection().selectAllChildren(from);
      document.execCommand('copy');
    }
    const word = one('[data-word]', button) || button;
    const before = word.textContent;
    if (before !== 'Copied') {
      word.textContent = 'Copied';
      setTimeout(() => { word.textContent = before; }, COPIED_MS);
    }
    say('Copied.');
  };

  const show = (button, shown) => {
    const input = byId(button.dataset.show);
    input.type = shown ? 'text' : 'password';
    button.setAttribute('aria-pressed', shown);
    one('[data-word]', button).textContent = shown ? 'Hide' : 'Show';
  };

  // A key or certificate is small; what is not is another file. What is no text goes into its field as Base64.
  const FILE_BYTES_MAX = 64 << 10;
  const fromFile = async (input) => {
    const file = input.files[0];
    if (file && file.size <= FILE_BYTES_MAX) {
      const field = byId(input.dataset.file);
      const bytes = new Uint8Array(await file.arrayBuffer());
      const plain = bytes.every((byte) => byte > 8 && byte < 127);
      field.value = plain ? new TextDecoder().decode(bytes) : btoa(String.fromCharCode(...bytes));
      typed = true;
      field.focus();
    }
    input.value = '';
  };

  let rowsMade = 0;
  const addRow = (box) => {
    const fresh = one('template', box).content.cloneNode(true);
    const name = `new-${Date.now()}-${++rowsMade}`;
    for (const node of all('*', fresh)) {
      for (const attribute of [...node.attributes]) {
        if (attribute.value.includes('__row__')) node.setAttribute(attribute.name, attribute.value.replaceAll('__row__', name));
      }
    }
    all('[data-blank]', fresh).forEach((row) => row.removeAttribute('data-blank'));
    const row = one('[data-row]', fresh);
    one('[data-rows-list]', box).append(fresh);
    one(FOCUSABLE, row)?.focus();
    typed = true;
  };
  const removeRow = (button) => {
    const box = button.closest('[data-rows]');
    const row = button.closest('[data-row]');
    const next = row.nextElementSibling;
    row.remove();
    ((next && one(FOCUSABLE, next)) || one('[data-rows-add]', box)).focus();
    typed = true;
    say('Removed.');
  };

  // A value that is marked as a secret is typed as one.
  const mark = (box) => {
    const input = byId(box.dataset.rowSecret);
    if (!input || input.closest('details')) return;
    input.type = box.checked ? 'password' : 'text';
    if (box.checked) input.dataset.secret = ''; else delete input.dataset.secret;
  };

  // Tests of the connection: the result takes its place, what was typed stays.
  const showTest = (fresh) => {
    for (const id of ['tested', 'status', 'status-reason']) {
      const [old, part] = [byId(id), fresh.getElementById(id)];
      if (old && part) old.replaceWith(document.adoptNode(part));
    }
    const box = byId('tested');
    const note = one('.note', box);
    say(note?.textContent.trim() || '', note?.matches('.danger'));
    return box;
  };
  // Sent again it would sign in a second time.
  const showLost = (box) => {
    const note = document.createElement('p');
    note.className = 'warn';
    note.textContent = 'No result came: the connection to Consign was lost, or the test broke off. Test again.';
    one('h2 .muted', box)?.remove();
    one('.steps', box).before(note);
    say(note.textContent, true);
  };
  const test = async (button) => {
    const form = button.form;
    if (button.ariaBusy === 'true') return;
    const words = button.textContent;
    button.ariaBusy = 'true';
    button.textContent = 'Testing…';
    say('Testing the connection…');
    const box = byId('tested');
    const waiting = one('template', box)?.content.cloneNode(true);
    if (waiting) box.replaceChildren(waiting);
    const began = Date.now();
    let isShown = false;
    const clock = setInterval(() => {
      const seconds = one('[data-seconds]', box);
      if (seconds) seconds.textContent = Math.round((Date.now() - began) / 1000);
    }, 1000);
    try {
      const values = new URLSearchParams(new FormData(form));
      values.set('test', 'script');
      const fresh = await pageWithSteps(form.action, { method: 'POST', body: values }, (step) => {
        const name = (item) => one('.name', item).textContent;
        const next = one('.to-come', box);
        const isNext = next && name(step).startsWith(name(next));
        if (isNext) next.replaceWith(step); else if (next) next.before(step); else one('.steps', box)?.append(step);
        isShown = !!one('.steps', box);
      });
      if (one('.problem', fresh) || !fresh.getElementById('tested')) throw new Error('not a result');
      showTest(fresh).scrollIntoView({ block: 'nearest' });
    } catch {
      if (isShown) showLost(box); else form.requestSubmit(button);
    }
    clearInterval(clock);
    button.ariaBusy = 'false';
    button.textContent = words;
  };
  const awaitTest = (rounds) => {
    const url = byId('tested')?.dataset.testing;
    if (!url || rounds === 0) return;
    setTimeout(async () => {
      try {
        const fresh = await page(url, BY_ITSELF);
        if (!fresh.getElementById('tested')?.dataset.testing) showTest(fresh);
      } catch { /* The next round asks again. */ }
      awaitTest(rounds - 1);
    }, TEST_POLL_MS);
  };
  const use = (button) => {
    const name = button.dataset.use;
    const fields = button.form.elements[name];
    fields.value = button.value.slice(name.length + 1);
    (fields.focus ? fields : [...fields].find((field) => field.checked))?.focus();
    button.hidden = true;
    typed = true;
    say(`${button.textContent}: chosen, not saved yet.`);
  };

  // A page's fragment as a dialog. Its form goes to the server as from the page itself.
  const openDialog = async (link) => {
    let fresh;
    try {
      fresh = await page(link.href);
    } catch { /* Falls through to the page itself. */ }
    const content = fresh && one('[data-dialog-content]', fresh);
    if (!content) {
      location.href = link.href;
      return;
    }
    const dialog = document.createElement('dialog');
    dialog.className = 'dialog';
    const title = document.createElement('h2');
    title.id = 'dialog-title';
    title.textContent = one('h1', fresh).textContent;
    one('h1', content)?.remove();
    dialog.setAttribute('aria-labelledby', title.id);
    dialog.append(title, document.adoptNode(content));
    document.body.append(dialog);
    dialog.addEventListener('close', () => {
      dialog.remove();
      (link.isConnected ? link : one('h1'))?.focus();
    });
    dialog.showModal();
    one('[autofocus]', dialog)?.focus();
  };

  // Other rows exist: say how many, move nothing.
  const watch = (live) => {
    const link = one('[data-live-show]', live);
    const pause = one('[data-live-pause]', live);
    let paused = false;
    let known = 0;
    pause?.addEventListener('click', () => {
      paused = !paused;
      pause.setAttribute('aria-pressed', paused);
      pause.textContent = paused ? 'Resume updates' : 'Pause updates';
    });
    const timer = setInterval(async () => {
      if (paused || document.hidden) return;
      try {
        const answer = await fetch(live.dataset.live, { headers: { accept: 'application/json' }, credentials: 'same-origin' });
        if (answer.redirected || answer.status === 401 || answer.status === 403) {
          clearInterval(timer);
          return;
        }
        const { count } = await answer.json();
        if (!(count > known)) return;
        known = count;
        link.textContent = `Show ${count} new`;
        link.hidden = false;
        say(link.textContent);
      } catch { /* The next round asks again. */ }
    }, POLL_MS);
  };

  // A part of the page that changes by itself: fetched anew while the page is seen, until the server says it is at its
  // end. What had the focus keeps it, and what was opened stays open.
  const poll = (id) => {
    const part = byId(id);
    const { poll: url, pollEvery = PART_POLL_MS } = part.dataset;
    setTimeout(async () => {
      let fresh;
      try {
        if (!document.hidden && !paused.has(id)) fresh = (await page(url, BY_ITSELF)).getElementById(id);
      } catch { /* The next round asks again. */ }
      const old = byId(id);
      if (fresh) {
        const opened = all('details[open] > summary', old).map((head) => head.textContent);
        for (const head of all('summary', fresh)) head.parentElement.open ||= opened.includes(head.textContent);
      }
      if (fresh && old.outerHTML !== fresh.outerHTML) {
        const held = old.contains(document.activeElement) && document.activeElement;
        old.replaceWith(document.adoptNode(fresh));
        if (held) (all(held.tagName, fresh).find((one) => one.textContent === held.textContent) || fresh).focus();
        if (!('poll' in fresh.dataset)) say(one('.tag', fresh)?.textContent || '');
      }
      if ('poll' in byId(id).dataset) poll(id);
    }, Number(pollEvery));
  };
  const paused = new Set();
  const pausePart = (button) => {
    const id = button.dataset.pollPause;
    if (!paused.delete(id)) paused.add(id);
    button.setAttribute('aria-pressed', paused.has(id));
    button.textContent = paused.has(id) ? 'Resume updates' : 'Pause updates';
  };

  // The request as it would be made of what is typed. An answer that another one has overtaken is dropped.
  let asked = 0;
  let resting = 0;
  const preview = async (form) => {
    const turn = ++asked;
    const values = new URLSearchParams(new FormData(form));
    values.set('preview', '1');
    try {
      const fresh = await page(form.dataset.preview, { method: 'POST', body: values });
      if (turn !== asked) return;
      for (const id of ['preview-box', 'f-path-preview', 'f-slug-preview', 'f-schedule-preview', 'f-cron-preview']) {
        const [old, part] = [byId(id), fresh.getElementById(id)];
        if (old && part) old.replaceWith(document.adoptNode(part));
        // What is empty has no words yet.
        else if (part) byId(id.replace('-preview', ''))?.closest('.field').append(document.adoptNode(part));
        else old?.remove();
      }
    } catch { /* What was typed next asks again. */ }
  };
  const previewSoon = (field) => {
    const form = field.closest('form[data-preview]');
    if (!form) return;
    clearTimeout(resting);
    resting = setTimeout(() => preview(form), REST_MS);
  };

  // How many rows are ticked.
  const countPicked = (form) => {
    const count = [...form.elements].filter((box) => box.type === 'checkbox' && box.checked).length;
    one('[data-picked-count]', form).textContent = count ? `${count} ticked:` : 'With the ticked ones:';
  };

  // Single keys, unless switched off in the user menu.
  const single = {
    get on() { try { return localStorage.getItem('single-keys') !== 'off'; } catch { return true; } },
    set on(value) { try { localStorage.setItem('single-keys', value ? 'on' : 'off'); } catch { /* Stays for this page. */ } },
  };
  const showKeys = () => {
    const dialog = byId('keys');
    if (!dialog) return;
    one('input', dialog).checked = single.on;
    dialog.showModal();
  };
  let chord = 0;
  const press = (event) => {
    const at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !single.on) return;
    if (at.closest('input, select, textarea, dialog, [contenteditable]')) return;
    const name = Date.now() - chord < CHORD_MS ? `g ${event.key}` : event.key;
    chord = 0;
    if (name === 'g') {
      chord = Date.now();
    } else if (name === '?') {
      showKeys();
    } else if (name === '/') {
      const search = one('input[type=search]');
      if (!search) return;
      event.preventDefault();
      search.focus();
    } else {
      all('[data-key]').find((link) => link.dataset.key === name)?.click();
    }
  };

  document.addEventListener('click', (event) => {
    const at = event.target.closest('[data-copy], [data-show], [data-rows-add], [data-rows-remove], [data-test], [data-use], [data-replace], [data-dialog], [data-dialog-close], [data-keys], [data-leave], [data-poll-pause]');
    if (!at || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const asked = at.dataset;
    const dialog = at.closest('dialog');
    if ('leave' in asked) typed = false;
    if ('dialogClose' in asked && dialog) {
      event.preventDefault();
      dialog.close();
    } else if ('dialog' in asked) {
      event.preventDefault();
      openDialog(at);
    } else if ('rowsAdd' in asked) {
      event.preventDefault();
      addRow(at.closest('[data-rows]'));
    } else if ('rowsRemove' in asked) {
      event.preventDefault();
      removeRow(at);
    } else if ('test' in asked) {
      event.preventDefault();
      test(at);
    } else if ('use' in asked) {
      event.preventDefault();
      use(at);
    } else if ('replace' in asked) {
      event.preventDefault();
      const input = byId(asked.replace);
      for (let box = input.closest('details'); box; box = box.parentElement.closest('details')) box.open = true;
      input.focus();
    } else if ('pollPause' in asked) {
      pausePart(at);
    } else if ('copy' in asked) {
      copy(at);
    } else if ('show' in asked) {
      show(at, at.getAttribute('aria-pressed') !== 'true');
    } else if ('keys' in asked) {
      showKeys();
    }
  });

  document.addEventListener('change', (event) => {
    previewSoon(event.target);
    if (event.target.matches('[data-file]')) fromFile(event.target);
    if (event.target.matches('[data-refresh]')) refresh(event.target);
    if (event.target.matches('#f-url_address')) follow(event.target);
    if (event.target.matches('[data-row-secret]')) mark(event.target);
    if (event.target.form && 'picked' in event.target.form.dataset) countPicked(event.target.form);
    if (event.target.matches('[data-single-keys]')) single.on = event.target.checked;
  });

  document.addEventListener('input', (event) => {
    if (event.target.closest('form[data-guard]')) typed = true;
    previewSoon(event.target);
  });

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if ('once' in form.dataset) {
      if (Date.now() - (form.sentAt || 0) < SECOND_SUBMIT_MS) {
        event.preventDefault();
        return;
      }
      form.sentAt = Date.now();
    }
    // Buttons of other forms on the page do not save what was typed.
    if ('guard' in form.dataset) typed = false;
    // A shown secret goes back to a password field, so that the browser does not remember it as text.
    all('[data-show][aria-pressed=true]', form).forEach((button) => show(button, false));
  });

  // Replace opens an empty field; closing it again keeps the saved secret.
  document.addEventListener('toggle', (event) => {
    const box = event.target;
    if (!box.matches('details.secret')) return;
    const input = one('[data-secret]', box);
    if (!box.open) input.value = ''; else if (!input.value) input.focus();
  }, true);

  document.addEventListener('keydown', (event) => {
    press(event);
    if (event.key !== 'Escape') return;
    const open = event.target.closest('details.user[open], details.menu[open]');
    if (open) {
      open.open = false;
      one('summary', open).focus();
    }
  });

  addEventListener('beforeunload', (event) => {
    if (typed) event.preventDefault();
  });

  // A link may lead into a closed part.
  const reveal = () => {
    const closed = location.hash && byId(decodeURIComponent(location.hash.slice(1)))?.closest('details:not([open])');
    if (closed) closed.open = true;
  };
  addEventListener('hashchange', reveal);

  document.addEventListener('DOMContentLoaded', () => {
    ready();
    reveal();
    awaitTest(TEST_POLLS_MAX);
    all('[data-live]').forEach(watch);
    all('[data-poll]').forEach((part) => poll(part.id));
    all('[data-picked]').forEach(countPicked);
    one('.problem')?.focus();
    // What was refused, or filled in otherwise, is not saved.
    typed = !!one('[data-typed], [data-guard] [aria-invalid="true"]');
  });
})();
