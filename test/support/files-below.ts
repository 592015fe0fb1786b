import { peerOutput } from './landfall-command.js';

/** All that could change below a directory when something is written there, a line for each path. */
export const LIST_FILES: readonly string[] = ['-printf', '%P %y %m %U:%G %s %l %T@ %C@\\n'];

export async function filesBelow(directory: string): Promise<string[]> {
  return (await peerOutput('find', [directory, ...LIST_FILES])).split('\n').sort();
}
