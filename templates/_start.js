/* Says why the page's scripts do not run, if they do not. In the page itself, as a file beside it may be what is missing,
   and in words that old browsers understand. */
(function () {
  'use strict';
  var OFF = 'JavaScript is switched off.'; // what the page says where no script changes it
  var STARTING = 'Starting …';
  var problem = null;

  function find(id) {
    return document.getElementById(id);
  }

  function begin() {
    if (find('state') && find('state').textContent.trim() === OFF) find('state').textContent = STARTING;
  }

  function show() {
    if (document.readyState === 'loading') return;
    if (parsing) parsing.disconnect();
    begin();
    if (!problem || find('state').textContent !== STARTING) return;
    find('state').textContent = 'The page cannot start.';
    find('problem-message').textContent = problem.message;
    find('problem-hint').textContent = problem.hint;
    find('retry').hidden = true;
    find('reload').hidden = !problem.reload;
    find('reload').onclick = function () {
      location.reload();
    };
    find('problem').hidden = false;
  }

  function fail(message, hint, reload) {
    if (!problem) problem = { message: message, hint: hint, reload: reload };
    show();
  }

  function missing(address) {
    var unknown = 'A script of this page could not be loaded.';
    var again = 'Check the connection, then reload the page.';
    if (!window.fetch) return fail(unknown, again, true);
    window.fetch(address, { cache: 'no-store' }).then(
      function (response) {
        var type = response.headers.get('content-type') || '';
        if (response.ok && type.indexOf('html') < 0) return fail(unknown, again, true);
        if (!response.ok && response.status !== 404 && response.status !== 410)
          return fail(
            'The server returned status ' + response.status + ' for a script of this page.',
            'Reload the page in a minute.',
            true
          );
        fail(
          'This is an earlier version of the page, whose scripts are no longer on the server.',
          'Reload the page. If this message comes back, the site was published incompletely.',
          true
        );
      },
      function () {
        fail(unknown, again, true);
      }
    );
  }

  document.addEventListener('readystatechange', show);
  var parsing = window.MutationObserver && new MutationObserver(begin);
  if (parsing) parsing.observe(document, { childList: true, subtree: true });
  if (location.protocol === 'file:') {
    fail(
      'Opened from disk, this page cannot run: browsers do not let it load its scripts and the model.',
      'Serve the folder that it is in: python -m export.serve --site FOLDER, or any other web server. Then open the ' +
        'address that it prints.',
      false
    );
  } else if (!('noModule' in document.createElement('script'))) {
    fail('This browser is too old for this page.', 'Update the browser, or open the page in another one.', false);
  }
  window.addEventListener(
    'error',
    function (event) {
      if (event.target && event.target.tagName === 'SCRIPT') missing(event.target.src);
      else if (event.message)
        fail(
          'The page’s script failed: ' + event.message,
          'Reload the page. If this message comes back, update the browser.',
          true
        );
    },
    true
  );
})();
