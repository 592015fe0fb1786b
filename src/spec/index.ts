// limits, quoted -> digest -> json-fields -> platform, descriptor -> manifest, config, reference
export * from './digest.js';
export * from './descriptor.js';
export * from './glob.js';
export * from './image-config.js';
export * from './image-list.js';
export * from './json-fields.js';
export * from './limits.js';
export * from './manifest.js';
export * from './media-types.js';
export * from './platform.js';
export { quoted } from './quoted.js';
export { referrerDescriptor } from './referrer-descriptor.js';
export * from './reference.js';
export * from './size.js';
