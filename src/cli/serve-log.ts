import { accessFacts, accessLine, type ServedRequest } from '../serve/index.js';
import { messageOf } from './error-facts.js';
import type { Log } from './log.js';

/** Tells of each request: a line of the combined log format, or its facts for programs. What broke on the way is a warning. */
export function requestTold(log: Log): (request: ServedRequest) => void {
  return (request) => {
    if (log.shows('info')) log.info(accessLine(request), accessFacts(request));
    if (request.error === undefined || request.status < 500) return;
    log.warn(`${request.method} ${printablePath(request.path)}: ${messageOf(request.error)}`);
  };
}

/** Without its query, which may hold what is nobody's business. */
function printablePath(path: string): string {
  return path.split('?', 1)[0] ?? '';
}
