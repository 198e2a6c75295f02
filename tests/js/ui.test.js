import assert from 'node:assert/strict';
import test from 'node:test';
import { readLink, writeLink } from '../../site/js/page/link.js';
import { formatBytes, formatMs, formatPercent } from '../../site/js/page/ui/figures.js';

test('a link reads back what it was written from', () => {
  const request = { model: 'timm/vit_small&co', variant: 'u8-tfjs', backend: 'wasm' };
  assert.deepEqual(readLink(writeLink(request)), request);
  assert.deepEqual(readLink(writeLink({ model: 'fashion' })), { model: 'fashion' });
});

test('a link holds what is known and nothing else', () => {
  assert.deepEqual(readLink(''), {});
  assert.deepEqual(readLink('#main'), {});
  assert.deepEqual(readLink('#model=&variant=f32-tfjs&colour=red'), { variant: 'f32-tfjs' });
});

test('figures have three digits, and a space that never breaks', () => {
  assert.equal(formatBytes(999), '999\u00a0B');
  assert.equal(formatBytes(5_690_000), '5.69\u00a0MB');
  assert.equal(formatMs(0.005), '0.005\u00a0ms');
  assert.equal(formatMs(0), '0.00\u00a0ms');
  assert.equal(formatMs(0.123), '0.12\u00a0ms');
  assert.equal(formatMs(162.4), '162\u00a0ms');
  assert.equal(formatPercent(0.9344), '93.4\u00a0%');
});
