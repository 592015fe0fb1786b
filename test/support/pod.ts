import { randomUUID } from 'node:crypto';
import type { CriClient } from './cri-client.js';

/** A pod with one container, which does nothing until it is stopped. */
export interface Pod {
  readonly sandbox: string;
  readonly container: string;
}

/** The host's network, so that no CNI is needed (runtime.v1.NamespaceMode). */
const NODE = 2;
const RUNNING = 1;
const IDLE = ['/bin/busybox', 'sleep', '100000'];

/** Runs a pod of an image of {@link makePodLayout}. @throws Error with what containerd said */
export async function runPod(client: CriClient, image: string): Promise<Pod> {
  const name = `pod-${randomUUID()}`;
  const config = {
    metadata: { name, uid: name, namespace: 'default', attempt: 0 },
    linux: { security_context: { namespace_options: { network: NODE } } },
  };
  const { pod_sandbox_id: sandbox } = await client.call<{ pod_sandbox_id: string }>('RunPodSandbox', {
    config,
  });
  try {
    const { container_id: container } = await client.call<{ container_id: string }>('CreateContainer', {
      pod_sandbox_id: sandbox,
      sandbox_config: config,
      config: { metadata: { name: 'idle', attempt: 0 }, image: { image }, command: IDLE },
    });
    await client.call('StartContainer', { container_id: container });
    return { sandbox, container };
  } catch (error) {
    await removePod(client, { sandbox });
    throw error;
  }
}

/** What a command prints in the pod's container. */
export async function printInPod(client: CriClient, pod: Pod, ...cmd: readonly string[]): Promise<string> {
  const answer = await client.call<{ stdout?: string; stderr?: string; exit_code?: number }>('ExecSync', {
    container_id: pod.container,
    cmd,
    timeout: 20,
  });
  const text = (base64 = ''): string => Buffer.from(base64, 'base64').toString();
  if ((answer.exit_code ?? 0) !== 0)
    throw new Error(`${cmd.join(' ')} in a pod failed (${answer.exit_code}):\n${text(answer.stderr)}`);
  return text(answer.stdout);
}

/** Whether its container runs. */
export async function isRunning(client: CriClient, pod: Pod): Promise<boolean> {
  const { status } = await client.call<{ status: { state?: number } }>('ContainerStatus', {
    container_id: pod.container,
  });
  return status.state === RUNNING;
}

/** Stops it and removes it, with its container. */
export async function removePod(client: CriClient, { sandbox }: Pick<Pod, 'sandbox'>): Promise<void> {
  await client.call('StopPodSandbox', { pod_sandbox_id: sandbox });
  await client.call('RemovePodSandbox', { pod_sandbox_id: sandbox });
}
