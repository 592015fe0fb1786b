import { describe, expect, it } from 'vitest';
import { type ImageUser, imageUser } from '../../../src/daemon/cri/image-service.js';

describe('the user of an image', () => {
  it.each<[string | undefined, ImageUser]>([
    [undefined, {}],
    ['', {}],
    [':1000', {}],
    ['0', { uid: 0 }],
    ['1002', { uid: 1002 }],
    ['1003:1004', { uid: 1003 }],
    ['1003:staff', { uid: 1003 }],
    ['www-data', { username: 'www-data' }],
    ['www-data:1004', { username: 'www-data' }],
    ['1002x', { username: '1002x' }],
    ['-1', { username: '-1' }],
    ['99999999999999999999', { username: '99999999999999999999' }],
  ])('%j is %j', (user, expected) => {
    expect(imageUser(user)).toEqual(expected);
  });
});
