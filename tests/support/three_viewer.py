"""A page in Chromium with three, as the project's own page serves it: loads a GLB and says where its vertices are."""

import base64
from urllib.parse import urlparse

import numpy as np

from page import web_libraries

ADDRESS = "http://perfrdiff.test/"
SCRIPT = """async ([base, fps]) => {
    const at = name => new URL(base + name, document.baseURI).href;
    const THREE = await import(at('three/build/three.module.js'));
    const { GLTFLoader } = await import(at('three/examples/jsm/loaders/GLTFLoader.js'));
    const gltf = await new GLTFLoader().loadAsync('head.glb');
    const mixer = new THREE.AnimationMixer(gltf.scene);
    const meshes = [];
    gltf.scene.traverse(one => { if (one.isSkinnedMesh) meshes.push(one); });
    gltf.animations.forEach(clip => mixer.clipAction(clip).play());
    window.viewer = { THREE, gltf, mixer, meshes };
    return { names: meshes.map(mesh => mesh.material.name), targets: Object.keys(meshes[0].morphTargetDictionary),
             clips: gltf.animations.map(clip => [clip.name, clip.duration]) };
}"""
VERTICES = """seconds => {
    const { THREE, gltf, mixer, meshes } = window.viewer;
    mixer.setTime(seconds);
    gltf.scene.updateMatrixWorld(true);
    const point = new THREE.Vector3();
    return meshes.map(mesh => {
        const out = new Float32Array(3 * mesh.geometry.attributes.position.count);
        for (let i = 0; i < out.length / 3; i++) {
            mesh.getVertexPosition(i, point).applyMatrix4(mesh.matrixWorld).toArray(out, 3 * i);
        }
        let text = '';
        new Uint8Array(out.buffer).forEach(byte => { text += String.fromCharCode(byte); });
        return btoa(text);
    });
}"""


class ThreeViewer:
    """One GLB in one tab of a browser; `page` is a new page of Playwright's."""

    def __init__(self, page, glb: bytes):
        self.page = page
        page.route("**/*", lambda route: self._answer(route, glb))
        page.goto(ADDRESS)
        self.about = page.evaluate(SCRIPT, [web_libraries.base_address(), 25])

    def vertices(self, seconds: float) -> dict[str, np.ndarray]:
        """Material -> (N, 3) float32 vertices in metres, morphed and skinned, `seconds` into the animation."""
        parts = self.page.evaluate(VERTICES, seconds)
        decoded = [np.frombuffer(base64.b64decode(part), np.float32).reshape(-1, 3) for part in parts]
        return dict(zip(self.about["names"], decoded, strict=True))

    @staticmethod
    def _answer(route, glb: bytes) -> None:
        path = urlparse(route.request.url).path.lstrip("/")
        name = path.removeprefix(web_libraries.base_address())
        if path == "head.glb":
            route.fulfill(body=glb, content_type="model/gltf-binary")
        elif name in web_libraries.FILES:
            file = web_libraries.folder() / "node_modules" / name
            route.fulfill(body=web_libraries._content(file, name, False), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html><title>GLB</title>", content_type="text/html")
