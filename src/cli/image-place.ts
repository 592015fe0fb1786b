export { digestGiven, type ImagePlace, parseImagePlace } from '../transfer/image-place.js';
