import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { LandfallError } from '../errors.js';
import { nativeModuleError } from '../native-module.js';

let koffi: typeof Koffi | undefined;

/**
 * What calls native code, loaded at the first call so that importing this module costs nothing.
 *
 * @throws LandfallError UNSUPPORTED where this is not Linux on x86_64 or arm64, or there is no binary of it for this machine
 */
export function ffi(): typeof Koffi {
  return (koffi ??= load());
}

function load(): typeof Koffi {
  const { platform, arch } = process;
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    throw new LandfallError('UNSUPPORTED', `the C library cannot be called on ${platform}/${arch}`, {
      hint: 'Run landfall on Linux, x86_64 or arm64.',
    });
  }
  try {
    return createRequire(import.meta.url)('koffi') as typeof Koffi;
  } catch (cause) {
    throw nativeModuleError('koffi', cause);
  }
}
