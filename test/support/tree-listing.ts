import { peerOutput } from './landfall-command.js';

/**
 * Lists a tree with the machine's own tools, so that what landfall unpacked is not judged by its own code.
 * One line a path, sorted: path, type, mode, owner, size (not of directories), link target, links, device,
 * mtime in nanoseconds, digest of the content, xattrs.
 */
const LIST_TREE = String.raw`
set -eu
cd "$1"
export LC_ALL=C
find . -printf '%P\t%y\t%m\t%U:%G\t%s\t%l\t%n\t%T@\n' | awk -F'\t' -v OFS='\t' '{ if ($2 == "d") { $5 = "-"; $7 = "-" } print "entry", $0 }' | sort
find . \( -type c -o -type b \) -exec stat -c 'device	%n	%t:%T' {} + | sort
find . -type f -print0 | sort -z | xargs -0r sha256sum | sed 's/^/content	/'
find . -type f -links +1 -printf '%i\t%P\n' | sort | awk -F'\t' '{ if ($1 == last) printf "\t%s", $2; else printf "%s%s", (NR == 1 ? "" : "\n"), "links\t" $2; last = $1 } END { if (NR) print "" }' | sort
getfattr -R -h -d -m - -e hex . 2>/dev/null | awk '/^# file: /{ file = substr($0, 9); next } NF && !/trusted\.overlay\./{ print "xattr\t" file "\t" $0 }' | sort
`;

/** The listing of a directory, one line an element. */
export async function listTree(directory: string): Promise<string[]> {
  return lines(await peerOutput('sh', ['-c', LIST_TREE, 'list-tree', directory]));
}

/**
 * The listing of a directory on which `mount` (a shell command) has mounted something. It runs in a mount
 * namespace of its own, so the mount ends with it whatever happens. What the command prints goes to standard
 * error.
 */
export async function listMounted(mount: string, directory: string): Promise<string[]> {
  const script = `set -eu\n{ ${mount}; } >&2\n${LIST_TREE}`;
  return lines(await peerOutput('unshare', ['-m', 'sh', '-c', script, 'list-tree', directory]));
}

/**
 * The listing without what cannot be equal: the times of directories that no layer lists are those of
 * unpacking. `listed` has the paths of the others, without slashes at the ends; `''` is the root.
 */
export function withoutUnlistedTimes(listing: readonly string[], listed: ReadonlySet<string>): string[] {
  return listing.map((line) => {
    const fields = line.split('\t');
    if (fields[0] !== 'entry' || fields[2] !== 'd' || listed.has(fields[1] ?? '')) return line;
    return [...fields.slice(0, -1), 'unlisted'].join('\t');
  });
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
