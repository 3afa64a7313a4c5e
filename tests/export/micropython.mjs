// Run a program in MicroPython for WebAssembly: node micropython.mjs PACKAGE NET.py PROGRAM.py
import fs from "node:fs";

const [folder, net, program] = process.argv.slice(2);
const { loadMicroPython } = await import(`file://${folder}/micropython.mjs`);
const options = { stdout: console.log, stderr: console.error, heapsize: 1 << 25, linebuffer: true };
const python = await loadMicroPython(options);
python.FS.writeFile("/net.py", fs.readFileSync(net));
try {
    python.runPython(fs.readFileSync(program, "utf8"));
} catch (error) {
    console.error(error.message);
    process.exit(1);
}
