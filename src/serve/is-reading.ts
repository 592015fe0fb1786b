/** Whether a method changes nothing (RFC 9110, 9.2.1). */
export function isReading(method: string): method is 'GET' | 'HEAD' {
  return method === 'GET' || method === 'HEAD';
}
