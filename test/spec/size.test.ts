import { expect, test } from 'vitest';
import { exactSize } from '../../src/spec/size.js';

test.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1000, '1.0 kB (1000 bytes)'],
  [98_269_877, '98.3 MB (98269877 bytes)'],
])('%d, where its last digit matters, is %s', (bytes, text) => {
  expect(exactSize(bytes)).toBe(text);
});
