import { once } from 'node:events';
import http from 'node:http';
import { buffer } from 'node:stream/consumers';

export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface Question {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: http.Agent;
}

/**
 * One request whose target reaches the server exactly as written; fetch would resolve `..` before it sends
 * it.
 */
export async function ask(port: number, target: string, question: Question = {}): Promise<Reply> {
  const { method = 'GET', headers = {}, agent = false } = question;
  const request = http.request({ host: '127.0.0.1', port, method, path: target, headers, agent });
  request.end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const body = await buffer(response);
  return { status: response.statusCode ?? 0, headers: response.headers, body: body.toString('latin1') };
}

/** The code of the one error in an error body. */
export function errorCode({ body }: Reply): string | undefined {
  const { errors } = JSON.parse(body) as { errors: { code: string; message: string }[] };
  return errors.map(({ code, message }) => (message === '' ? 'no message' : code)).join();
}
