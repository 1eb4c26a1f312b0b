// A classic script in the head, so that the chosen theme is there before anything is painted.
'use strict';

(() => {
  const KEY = 'cuttlebone-theme';
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };

  /** @param {string | null} theme null follows the system */
  const choose = (theme) => {
    if (theme === 'light' || theme === 'dark') root.dataset['theme'] = theme;
    else delete root.dataset['theme'];
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  };

  const isDark = () => (root.dataset['theme'] ? root.dataset['theme'] === 'dark' : system.matches);

  const label = () => {
    for (const button of document.querySelectorAll('[data-theme-toggle]')) {
      const text = `Switch to the ${isDark() ? 'light' : 'dark'} theme`;
      button.setAttribute('aria-label', text);
      button.setAttribute('title', text);
    }
  };

  const toggle = () => {
    const next = isDark() ? 'light' : 'dark';
    choose(next === (system.matches ? 'dark' : 'light') ? null : next);
    label();
  };

  choose(stored());
  system.addEventListener('change', label);
  addEventListener('DOMContentLoaded', () => {
    label();
    for (const button of document.querySelectorAll('[data-theme-toggle]')) button.addEventListener('click', toggle);
  });
})();
