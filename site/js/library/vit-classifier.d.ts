import type { Classification, ClassifyOptions, ImageInput, VitError } from './vit-pages.js';

/** `<vit-classifier src="models/NAME/manifest.json">`; importing this module defines the element. */
export declare class VitClassifierElement extends HTMLElement {
  /** Address of the manifest. */
  src: string;
  /** Which variant; empty for the first one. */
  variant: string;
  /** How many classes are shown. */
  top: number;
  /** Classify an image as if a person had chosen it; rejects with a `VitError`. */
  classify(image: ImageInput, options?: Pick<ClassifyOptions, 'signal'>): Promise<Classification>;
  addEventListener<Type extends keyof VitClassifierEventMap>(
    type: Type,
    listener: (this: VitClassifierElement, event: VitClassifierEventMap[Type]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface VitClassifierEventMap extends Omit<HTMLElementEventMap, 'error'> {
  classified: CustomEvent<Classification>;
  error: CustomEvent<VitError>;
}

declare global {
  interface HTMLElementTagNameMap {
    'vit-classifier': VitClassifierElement;
  }
}
