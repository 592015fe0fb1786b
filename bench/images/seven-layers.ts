import { rm } from 'node:fs/promises';
import { outputOf } from '../bound-process.js';
import type { ImageRecipe } from '../contract.js';
import { treeOfPackages } from './debian-packages.js';

/** What is in each layer above Debian's base: what a builder's image would install step by step. */
export const PACKAGE_GROUPS: Readonly<Record<string, readonly string[]>> = {
  scripting: [
    'python3.13',
    'libpython3.13-stdlib',
    'libpython3.13-minimal',
    'perl',
    'perl-modules-5.40',
    'libperl5.40',
    'git',
    'git-man',
    'libicu76',
    'python3-numpy',
    'python3-scipy',
    'cmake',
    'cmake-data',
  ],
  compiler: [
    'gcc-14-x86-64-linux-gnu',
    'g++-14-x86-64-linux-gnu',
    'cpp-14-x86-64-linux-gnu',
    'libstdc++-14-dev',
    'libgcc-14-dev',
    'binutils-x86-64-linux-gnu',
    'libbinutils',
    'libc6-dev',
  ],
  go: ['golang-1.24-go', 'golang-1.24-src'],
  java: ['openjdk-21-jdk-headless', 'openjdk-21-jre-headless'],
  llvm: ['clang-19', 'libclang-common-19-dev', 'libclang-cpp19', 'libllvm19', 'llvm-19', 'libnode115'],
  rust: ['rustc', 'libstd-rust-dev', 'libstd-rust-1.85'],
};

/** Debian 13 and six layers of its packages: some 660 MB compressed with gzip -6, 1.8 GB unpacked. */
export const SEVEN_LAYERS: ImageRecipe = {
  name: 'seven-layers',
  version: 1,
  async build(layout, scratch) {
    const base = ['--quiet', '--variant=minbase', '--skip=output/dev', '--format=tar', 'trixie', '-'];
    await layout.addTar(outputOf('mmdebstrap', base), 'gzip');
    for (const [name, packages] of Object.entries(PACKAGE_GROUPS)) {
      const tree = await treeOfPackages(scratch, name, packages);
      await layout.addTree(tree, 'gzip');
      await rm(tree, { recursive: true });
    }
  },
};

/** The same files as {@link SEVEN_LAYERS}, each layer compressed with zstd -3. */
export const SEVEN_LAYERS_ZSTD: ImageRecipe = {
  name: 'seven-layers-zstd',
  version: 1,
  async build(layout) {
    const count = await layout.layersOf(SEVEN_LAYERS);
    const indexes = Array.from({ length: count }, (_, index) => index);
    await Promise.all(indexes.map((index) => layout.recompressLayerOf(SEVEN_LAYERS, index, 'zstd')));
  },
};
