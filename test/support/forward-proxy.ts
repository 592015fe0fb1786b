import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';

export interface ForwardProxyOptions {
  /**
   * Where names lead: `registry.example` to `127.0.0.1:PORT`, whatever port was asked for. Others are
   * answered 502.
   */
  readonly leads: Readonly<Record<string, string>>;
  /** `user:password`: without it in `Proxy-Authorization` it answers 407. */
  readonly wants?: string;
  /** Answers every request with this status instead. */
  readonly refuses?: number;
  /** PEM, for a proxy that speaks TLS itself. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** What belongs to one connection (RFC 9110, 7.6.1), or to the proxy alone. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set(['connection', 'proxy-authorization', 'proxy-connection']);

/**
 * A forward proxy as stands before a company's network: absolute-form requests, and CONNECT (RFC 9110,
 * 9.3.6).
 */
export class ForwardProxy implements AsyncDisposable {
  /** `GET http://registry.example/v2/`, `CONNECT registry.example:443` */
  readonly lines: string[] = [];
  /** The headers of each, by the same index. */
  readonly headers: http.IncomingHttpHeaders[] = [];
  /** TCP connections so far. */
  connections = 0;
  readonly #options: ForwardProxyOptions;
  readonly #server: http.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #agent = new http.Agent({ keepAlive: true });

  private constructor(options: ForwardProxyOptions) {
    this.#options = options;
    const listener = (request: http.IncomingMessage, response: http.ServerResponse): void =>
      this.#pass(request, response);
    const { tls } = options;
    this.#server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener);
    this.#server.on('tlsClientError', () => undefined);
    this.#server.on('connect', (request, client: net.Socket) => this.#tunnel(request, client));
    this.#server.on('connection', (socket: net.Socket) => {
      this.connections += 1;
      this.#keep(socket);
    });
  }

  static async start(options: ForwardProxyOptions): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  /** `http://127.0.0.1:PORT` */
  get origin(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.address}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#agent.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(request: http.IncomingMessage, response: http.ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://not-absolute.invalid');
    const status = this.#note(request) ?? this.#refusalOf(url.hostname);
    if (status !== undefined) {
      response.writeHead(status, challengeOf(status)).end('<html>the proxy says no</html>');
      return;
    }
    const headers = Object.entries(request.headers).filter(([name]) => !NOT_PASSED_ON.has(name));
    const forward = http.request(
      {
        ...this.#addressOf(url.hostname),
        agent: this.#agent,
        maxHeaderSize: 1024 * 1024,
        method: request.method,
        path: `${url.pathname}${url.search}`,
        headers: Object.fromEntries(headers),
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    forward.on('error', () => response.destroy());
    request.pipe(forward);
  }

  #tunnel(request: http.IncomingMessage, client: net.Socket): void {
    const [name = ''] = (request.url ?? '').split(':');
    const status = this.#note(request) ?? this.#refusalOf(name);
    if (status !== undefined) {
      const challenge = Object.entries(challengeOf(status)).map(([key, value]) => `${key}: ${value}\r\n`);
      client.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n${challenge.join('')}\r\n`);
      return;
    }
    const server = net.connect(this.#addressOf(name), () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.pipe(client).pipe(server);
    });
    this.#keep(server);
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  }

  /** The status that refuses the client, if it is refused. */
  #note(request: http.IncomingMessage): number | undefined {
    this.lines.push(`${request.method ?? ''} ${request.url ?? ''}`);
    this.headers.push(request.headers);
    const { wants } = this.#options;
    if (wants === undefined) return this.#options.refuses;
    const shown = request.headers['proxy-authorization'];
    return shown === `Basic ${Buffer.from(wants).toString('base64')}` ? this.#options.refuses : 407;
  }

  #refusalOf(name: string): number | undefined {
    return Object.hasOwn(this.#options.leads, name) ? undefined : 502;
  }

  #addressOf(name: string): { host: string; port: number } {
    const [host = '', port = ''] = (this.#options.leads[name] ?? '').split(':');
    return { host, port: Number(port) };
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

function challengeOf(status: number): Record<string, string> {
  return status === 407 ? { 'proxy-authenticate': 'Basic realm="proxy"' } : {};
}
