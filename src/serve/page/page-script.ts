/**
 * The little that a page does beyond links and a form: filters what it shows while somebody types, copies commands, and takes
 * `/` to the search. All works without it; what only works with it is hidden until it runs.
 */
export const PAGE_SCRIPT: string = `
'use strict';
(() => {
  const field = document.querySelector('input[type=search]');
  const status = document.querySelector('[data-status]');
  const rows = [...document.querySelectorAll('tr[data-search]')];
  const nothing = document.querySelector('[data-nothing]');
  if (field && status && rows.length > 0) {
    const said = status.textContent;
    const begun = field.value;
    const filter = () => {
      const words = field.value.toLowerCase().split(/\\s+/).filter((word) => word !== '');
      let shown = 0;
      for (const row of rows) {
        const fits = words.every((word) => row.dataset.search.includes(word));
        row.hidden = !fits;
        if (fits) shown += 1;
      }
      if (nothing) nothing.hidden = shown > 0;
      const whole = status.dataset.status === 'whole';
      status.textContent = field.value === begun ? said
        : shown + ' of ' + rows.length + ' shown' + (whole ? '' : '; Enter searches all of the mirror');
    };
    field.addEventListener('input', filter);
  }
  document.addEventListener('keydown', (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? '');
    if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey || !field) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
  const copied = async (text, code) => {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {}
    }
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand('copy');
  };
  for (const button of document.querySelectorAll('button.copy')) {
    const code = button.parentElement.querySelector('code');
    const name = button.textContent;
    button.hidden = false;
    button.addEventListener('click', async () => {
      button.textContent = (await copied(code.textContent, code)) ? 'Copied' : 'Press Ctrl+C';
      setTimeout(() => { button.textContent = name; }, 2000);
    });
  }
})();
`.trim();
