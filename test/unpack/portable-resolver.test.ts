import { expect, test } from 'vitest';
import { defaultResolver } from '../../src/system/index.js';
import { containmentSuite } from '../suites/containment.js';
import { layerSemanticsSuite } from '../suites/layer-semantics.js';
import { isLong } from '../support/rounds.js';
import { FORMS } from '../support/unpacked-forms.js';
import { forgetOpenat2 } from '../support/without-call.js';

/*
 * What layers mean and that none escapes, on a kernel without openat2: all that is unpacked here, by this process and by its
 * workers, is held together by the portable resolver.
 */
forgetOpenat2();

test('there is no openat2', () => {
  expect(defaultResolver().method).toBe('portable');
});

// The resolver is the same in each form; two of them lay trees out in different ways.
for (const form of isLong ? FORMS : FORMS.filter((one) => one === 'native' || one === 'merged')) {
  if (form === 'exported') continue;
  layerSemanticsSuite(form);
  containmentSuite(form);
}
