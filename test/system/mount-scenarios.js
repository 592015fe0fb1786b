/**
 * What the mount tests do in a mount namespace of their own: `node mount-scenarios.js NAME DIRECTORY`. Prints what was
 * seen as JSON. Everything that it mounts goes with the process.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { URL } from 'node:url';

const built = new URL('../../dist/src/system/', import.meta.url);
const system = await import(new URL('index.js', built).href);
const { bindByFlags } = await import(new URL('mounts/bind-mount.js', built).href);
const { LayerNames, mountByOptions } = await import(new URL('mounts/overlay-mount.js', built).href);

const [name, directory] = process.argv.slice(2);
const at = (...parts) => join(directory, ...parts);

/** Directories that each hold a file of their own name, and a file `shared` that says whose it is. */
function layers(...names) {
  return names.map((layer) => {
    mkdirSync(at(layer), { recursive: true });
    writeFileSync(at(layer, `only-${layer.split('/')[0]}`), layer);
    writeFileSync(at(layer, 'shared'), layer);
    return at(layer);
  });
}

function directories(...names) {
  return names.map((each) => {
    mkdirSync(at(each), { recursive: true });
    return at(each);
  });
}

const see = (target) => ({
  names: readdirSync(target).sort(),
  shared: readFileSync(join(target, 'shared'), 'utf8'),
});

function codeOf(call) {
  try {
    call();
    return 'none';
  } catch (error) {
    return error.code;
  }
}

function failure(call) {
  try {
    call();
    return 'none';
  } catch (error) {
    return { name: error.name, code: error.code, message: error.message, hint: error.hint };
  }
}

const mountNew = (mount) => system.mountOverlay(mount);

/** The same by mount(2), as on a kernel before 6.7. */
function mountOld(mount) {
  const names = new LayerNames();
  try {
    mountByOptions(mount, names.plain(mount), () => names.short(mount));
  } finally {
    names[Symbol.dispose]();
  }
}

const ODD = ['a:b', 'a,b', 'a\\b', 'a b\tc', 'a\nb', 'lowerdir=x', 'naïve', 'n'.repeat(255)];

const scenarios = {
  order() {
    const [a, b, c] = layers('a', 'b', 'c');
    const [target] = directories('t');
    system.mountOverlay({ lower: [c, b, a], target, readOnly: true });
    const seen = {
      ...see(target),
      write: codeOf(() => writeFileSync(join(target, 'x'), '')),
      mounted: system.isMountPoint(target),
    };
    system.unmount(target);
    return { ...seen, after: [readdirSync(target), system.isMountPoint(target)] };
  },
  upper() {
    const [a, b] = layers('a', 'b');
    const [upper, work, target] = directories('u', 'w', 't');
    system.mountOverlay({ lower: [b, a], upper, work, target, readOnly: false });
    writeFileSync(join(target, 'new'), 'new');
    execFileSync('rm', [join(target, 'only-a')]);
    const seen = see(target);
    system.unmount(target);
    const whiteout = system.fstatat(-100, join(upper, 'only-a'));
    return {
      ...seen,
      upper: readdirSync(upper).sort(),
      whiteout: [whiteout.mode & 0o170000, whiteout.rdevMajor, whiteout.rdevMinor],
    };
  },
  upperReadOnly() {
    const [a] = layers('a');
    const [upper, work, target] = directories('u', 'w', 't');
    system.mountOverlay({ lower: [a], upper, work, target, readOnly: true });
    return { ...see(target), write: codeOf(() => writeFileSync(join(target, 'x'), '')) };
  },
  single() {
    const [a] = layers('a');
    const [target] = directories('t');
    system.mountOverlay({ lower: [a], target, readOnly: false });
    const seen = { ...see(target), write: codeOf(() => writeFileSync(join(target, 'x'), '')) };
    writeFileSync(join(a, 'y'), '');
    return { ...seen, type: system.readMountInfo().findLast((mount) => mount.target === target)?.type };
  },
  onlyUpper() {
    const [upper] = layers('u');
    const [target] = directories('t');
    system.mountOverlay({ lower: [], upper, target, readOnly: false });
    writeFileSync(join(target, 'x'), '');
    return { ...see(target), upper: readdirSync(upper).sort() };
  },
  ...Object.fromEntries(
    [
      ['oddPaths', mountNew],
      ['oddPathsOld', mountOld],
      ['oddPathsSpec', ({ target, ...mount }) => system.mountFromSpec(system.overlaySpec(mount), target)],
    ].map(([key, mount]) => [
      key,
      () =>
        ODD.map((odd, i) => {
          const lower = layers(`${i}/${odd}/one`, `${i}/${odd}/two`);
          const [upper, work, target] = directories(`${i}/${odd}/u`, `${i}/${odd}/w`, `${i}/${odd}/t`);
          mount({ lower, upper, work, target, readOnly: false });
          const seen = readFileSync(join(target, 'shared'), 'utf8') === `${i}/${odd}/one`;
          writeFileSync(join(target, 'new'), '');
          const written = readdirSync(upper).includes('new');
          const found = system.isMountPoint(target);
          system.unmount(target);
          return [seen, written, found, system.isMountPoint(target)].join();
        }),
    ]),
  ),
  ...Object.fromEntries(
    [
      ['many', 500, mountNew],
      ['manyLong', 250, mountNew, 'n'.repeat(255)],
      ['manyOld', 200, mountOld],
      ['tooManyOld', 400, mountOld],
      ['tooMany', 501, mountNew],
    ].map(([key, count, mount, each = 'with-a-long-name-that-fills-the-page']) => [
      key,
      () => {
        // In memory, and gone with the namespace: removing thousands of files takes longer than all the tests.
        execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory]);
        const lower = layers(...Array.from({ length: count }, (_, i) => `${i}/${each}`));
        const [target] = directories('t');
        const before = readdirSync('/proc/self/fd').length;
        const failed = failure(() => mount({ lower, target, readOnly: true }));
        const leaked = readdirSync('/proc/self/fd').length - before;
        return failed === 'none'
          ? { names: readdirSync(target).length, shared: see(target).shared, leaked }
          : { ...failed, leaked };
      },
    ]),
  ),
  bind() {
    const [a] = layers('a');
    const [inner, target, flat] = directories('a/inner', 't', 'flat');
    system.bindMount({ source: layers('b')[0], target: inner, readOnly: false });
    system.bindMount({
      source: a,
      target,
      readOnly: true,
      recursive: true,
      attributes: system.MOUNT_ATTR_NODEV,
    });
    system.bindMount({ source: a, target: flat, readOnly: false });
    return {
      recursive: readdirSync(join(target, 'inner')).sort(),
      write: [
        codeOf(() => writeFileSync(join(target, 'x'), '')),
        codeOf(() => writeFileSync(join(target, 'inner/x'), '')),
      ],
      flat: readdirSync(join(flat, 'inner')),
      flatWrite: codeOf(() => writeFileSync(join(flat, 'x'), '')),
      options: system.readMountInfo().find((mount) => mount.target === target)?.options,
    };
  },
  bindOld() {
    const [a] = layers('a');
    const [target] = directories('t');
    bindByFlags(
      { source: a, target, readOnly: true },
      system.MOUNT_ATTR_RDONLY | system.MOUNT_ATTR_NOSUID,
      false,
    );
    return {
      ...see(target),
      write: codeOf(() => writeFileSync(join(target, 'x'), '')),
      options: system.readMountInfo().find((mount) => mount.target === target)?.options,
    };
  },
  spec() {
    const lower = layers('a', 'b');
    const [target] = directories('t');
    system.mountFromSpec(
      { type: 'overlay', source: 'overlay', options: [`lowerdir=${lower.join(':')}`, 'noexec'] },
      target,
    );
    const overlay = see(target);
    const options = system.readMountInfo().findLast((mount) => mount.target === target)?.options;
    system.mountFromSpec({ type: 'bind', source: lower[1], options: ['rbind', 'ro'] }, target);
    return {
      overlay,
      noexec: options.includes('noexec'),
      bind: see(target),
      write: codeOf(() => writeFileSync(join(target, 'x'), '')),
    };
  },
  busy() {
    const lower = layers('a', 'b');
    const [target] = directories('t');
    system.mountOverlay({ lower, target, readOnly: true });
    const fd = openSync(join(target, 'shared'), 'r');
    const busy = failure(() => system.unmount(target));
    system.unmount(target, { lazy: true });
    const gone = system.isMountPoint(target);
    closeSync(fd);
    return { busy, gone };
  },
  failures() {
    const lower = layers('a', 'b');
    const [target, upper] = directories('t', 'u');
    const file = join(lower[0], 'shared');
    return {
      absentLayer: failure(() =>
        system.mountOverlay({ lower: [...lower, at('none')], target, readOnly: true }),
      ),
      fileAsLayer: failure(() => system.mountOverlay({ lower: [file, ...lower], target, readOnly: true })),
      absentTarget: failure(() => system.mountOverlay({ lower, target: at('none'), readOnly: true })),
      absentSource: failure(() => system.bindMount({ source: at('none'), target, readOnly: true })),
      upperWithoutWork: failure(() => system.mountOverlay({ lower, upper, target, readOnly: false })),
      nothing: failure(() => system.mountOverlay({ lower: [], target, readOnly: false })),
      workElsewhere: failure(() =>
        system.mountOverlay({ lower, upper, work: '/dev/shm', target, readOnly: false }),
      ),
      mounts: system.readMountInfo().filter((mount) => mount.target.startsWith(directory)).length,
    };
  },
  unprivileged() {
    const lower = layers('a', 'b');
    const [target] = directories('t');
    return {
      overlay: failure(() => system.mountOverlay({ lower, target, readOnly: true })),
      bind: failure(() => system.bindMount({ source: lower[0], target, readOnly: true })),
      unmount: failure(() => system.unmount('/proc')),
    };
  },
  ...Object.fromEntries(
    [
      ['manyInUserNamespace', mountNew],
      ['manyOldInUserNamespace', mountOld],
    ].map(([key, mount]) => [
      key,
      () => {
        execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory]);
        const lower = layers(
          ...Array.from({ length: 200 }, (_, i) => `${i}/with-a-long-name-that-fills-the-page`),
        );
        const [upper, work, target] = directories('u', 'w', 't');
        mount({ lower, upper, work, target, readOnly: false, userxattr: true });
        writeFileSync(join(target, 'new'), 'new');
        return { names: readdirSync(target).length, shared: see(target).shared, upper: readdirSync(upper) };
      },
    ]),
  ),
  userNamespace() {
    const lower = layers('a', 'b');
    const [upper, work, target] = directories('u', 'w', 't');
    system.mountOverlay({ lower, upper, work, target, readOnly: false, userxattr: true });
    writeFileSync(join(target, 'new'), '');
    const seen = { ...see(target), upper: readdirSync(upper) };
    system.unmount(target);
    bindByFlags({ source: lower[0], target, readOnly: true }, system.MOUNT_ATTR_RDONLY, false);
    return { ...seen, write: codeOf(() => writeFileSync(join(target, 'x'), '')) };
  },
};

process.stdout.write(JSON.stringify(await scenarios[name]()));
