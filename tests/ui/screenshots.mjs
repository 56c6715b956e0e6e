// Makes the README's pictures: docs/images/page-{light,dark}.png, the page in the middle of a scene.
//
//     cargo xtask screenshots

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Demo, WAIT, closeBrowser, open } from "./browser/demo.mjs";

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), "../../docs/images");
mkdirSync(FOLDER, { recursive: true });
const demo = await Demo.start();
try {
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    const { page, close } = await open(`${demo.url}?speed=1.5#scene=black-friday`, { viewport: { width: 1440, height: 1010 }, colorScheme });
    await page.waitForFunction(() => /^The carts differ now/.test(document.getElementById("caption-text")?.textContent ?? ""), undefined, WAIT);
    await page.waitForTimeout(1200);
    const path = join(FOLDER, `page-${colorScheme}.png`);
    await page.screenshot({ path });
    console.log(path);
    await page.keyboard.press("x");
    await page.waitForFunction(() => !document.body.dataset.scene, undefined, WAIT);
    await page.waitForTimeout(1500);
    await close();
  }
} finally {
  await closeBrowser();
  await demo.stop();
}
