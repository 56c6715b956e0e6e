// The shop's shelf: the products of Google's Online Boutique, with small pictures drawn for this page.

/**
 * @typedef {object} Product
 * @property {string} sku
 * @property {string} name
 * @property {number} cents
 * @property {string} path  a picture on a 24 by 24 grid, stroked
 */

/** @type {readonly Product[]} */
export const PRODUCTS = [
  { sku: "OLJCESPC7Z", name: "Sunglasses", cents: 1999, path: "M2 9l2-3h2M22 9l-2-3h-2M2 10h8.5v2.5a4.25 4 0 0 1-8.5 0zM13.500 10H22v2.500a4.250 4 0 0 1-8.500 0zM10.500 11.200c.9-.7 2.100-.7 3 0" },
  { sku: "66VCHSJNUP", name: "Tank Top", cents: 1899, path: "M8 3v3c0 2.500-1 4-3 5v10h14V11c-2-1-3-2.500-3-5V3M8 3c.5 3 1.800 5 4 5s3.500-2 4-5" },
  { sku: "1YMWWN1N4O", name: "Watch", cents: 10999, path: "M12 6.500a5.500 5.500 0 1 1 0 11 5.500 5.500 0 0 1 0-11zM12 9v3l2 1.500M9 7l.6-4.500h4.800L15 7M9 17l.6 4.500h4.800L15 17" },
  { sku: "L9ECAV7KIM", name: "Loafers", cents: 8999, path: "M3 8c1 1.500 3 2 5 2 1.500 2 4 4 8 4.500 3 .3 5 1 5 3V19H3zM3 16.500h18M9.500 11.500l1.500-1.500" },
  { sku: "2ZYFJ3GM2N", name: "Hairdryer", cents: 2499, path: "M4 5h9.500L20 3.500v9L13.500 11H13M4 5a3.500 3 0 0 0 0 6h5M8 11l1 9.500h3.500L12 11M8 11h5M14 5v6" },
  { sku: "0PUK6V6EV0", name: "Candle Holder", cents: 1899, path: "M12 2.500c1.500 1.500 1.800 2.500 0 4-1.800-1.500-1.500-2.500 0-4zM10.500 8h3v6h-3zM7 14h10l-1 3.500H8zM12 17.500V21M8 21h8" },
  { sku: "LS4PSXUNUM", name: "Salt & Pepper", cents: 1849, path: "M4.500 9h5.500l1 11.500H3.500zM5 9V7a2.250 2.250 0 0 1 4.500 0v2M14 9h5.500l1 11.500h-7.500zM14.500 9V7A2.250 2.250 0 0 1 19 7v2M6.500 13h1.500M16 13h1.500" },
  { sku: "9SIQT8TOJO", name: "Glass Jar", cents: 549, path: "M7 3h10v3H7zM8 6c0 1.500-2 2-2 4.500V19a2 2 0 0 0 2 2h8a2 2 0 0 0 2-2v-8.500C18 8 16 7.500 16 6M6 13h12" },
  { sku: "6E92ZMYYFZ", name: "Mug", cents: 899, path: "M4 6h12v12a2.500 2.500 0 0 1-2.500 2.500h-7A2.500 2.500 0 0 1 4 18zM16 9h2.500a2.500 2.500 0 0 1 2.500 2.500v1.500a2.500 2.500 0 0 1-2.500 2.500H16" },
];

const BY_SKU = new Map(PRODUCTS.map((product) => [product.sku, product]));

/** A product's name, or the SKU where the shelf has no such product. @param {string} sku */
export const nameOf = (sku) => BY_SKU.get(sku)?.name ?? sku;

/** @param {string} sku */
export const centsOf = (sku) => BY_SKU.get(sku)?.cents ?? 0;

/** @param {string} sku */
export const pictureOf = (sku) => BY_SKU.get(sku)?.path ?? "M5 5h14v14H5z";

/** Where a line stands on the shelf; others after. @param {string} sku */
export function shelfOrder(sku) {
  const at = PRODUCTS.findIndex((product) => product.sku === sku);
  return at < 0 ? PRODUCTS.length : at;
}
