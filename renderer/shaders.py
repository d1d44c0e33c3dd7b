"""The studio's light once more, for OpenGL: what `shading.py` does in compiled loops, in GLSL 3.30.

The two must tell the same story: a number that changes there changes here (tests/test_renderer_gl.py compares the
pictures). Each of the 2 x 2 samples of a pixel is a pixel of a picture twice as large; the loops take five samples in
other places, so that edges differ by their shades between.
"""

MESH_VERTEX = """
#version 330
uniform float reach;   // 2 focal / size
uniform float shift;   // of the principal point, which is a whole pixel
in vec3 position;
in vec3 normal;
in vec4 albedo_occlusion;
in vec3 lips_brow_hair;
in vec3 lash_cloth_along;
in vec3 place;
out vec3 n;
out vec4 base;
out vec3 paint;
out vec3 more;
out vec3 local;
out float near;
void main() {
    float away = 10.0 - position.z;
    // depth: 1 / distance, linear on the screen, 0.01 to 1 onto -1 to 1, the nearer the smaller
    float depth = 1.0 - 2.0 * clamp((1.0 / away - 0.01) / 0.99, 0.0, 1.0);
    gl_Position = vec4(position.x * reach + shift * away, position.y * reach + shift * away, depth * away, away);
    n = normal; base = albedo_occlusion; paint = lips_brow_hair; more = lash_cloth_along; local = place;
    near = 1.0 / away;
}
"""

GREY = """
#version 330
uniform sampler2D shades;  // of every triangle, one row of WIDTH after the other
out vec4 colour;
void main() {
    int at = gl_PrimitiveID;
    float shade = texelFetch(shades, ivec2(at % WIDTH, at / WIDTH), 0).r;
    colour = vec4(shade, shade, shade, 1.0);
}
"""

STUDIO_FRAGMENT = """
#version 330
uniform sampler2D kinds;     // StudioSurface.surface of every triangle, one row of WIDTH after the other
uniform vec3 lights[9];
uniform vec3 colours[4];     // lips, hair, iris, cloth
uniform float focal;         // pixels of the finished picture
uniform float mouth;
in vec3 n;
in vec4 base;
in vec3 paint;
in vec3 more;
in vec3 local;
in float near;
out vec4 colour;

float ramp(float distance, float width) {
    float t = clamp(distance / width + 0.5, 0.0, 1.0);
    return t * t * (3.0 - 2.0 * t);
}
float cover(float field, float soft) {  // the derivatives are per sample, the finished picture has half as many
    return ramp(field, max(soft, 2.6 * length(vec2(dFdx(field), dFdy(field)))));
}
float zigzag(float t) { return 4.0 * abs(t - floor(t) - 0.5) - 1.0; }

void main() {
    int at = gl_PrimitiveID;
    int bits = int(texelFetch(kinds, ivec2(at % WIDTH, at / WIDTH), 0).r + 0.5);
    int kind = bits & 7, mask = bits >> 3;  // what is painted near this triangle: elsewhere nothing may show
    vec3 normal = n * inversesqrt(dot(n, n) + 1e-12);
    float sky = clamp(base.a, 0.0, 1.0);
    float pixel = 1.0 / (near * focal);
    vec3 rgb = base.rgb;
    float shine = 0.10, wrap = 1.0, glint = 0.0, dim = 1.0;
    int gloss = 0;
    // outside of any branch: derivatives are undefined where neighbours go other ways
    float cloth = cover(more.y, 0.006), lips = cover(paint.x, 0.010), hair = cover(paint.z, 0.05);
    float lash = 0.85 * cover(more.x, 0.010);
    lips *= float(mask & 1); hair *= float(mask >> 2 & 1); lash *= float(mask >> 3 & 1); cloth *= float(mask >> 4 & 1);
    if (kind == 0) {  // skin
        rgb = mix(rgb, colours[3], cloth);
        shine *= 1.0 - cloth; wrap *= 1.0 - cloth;
        rgb = mix(rgb, colours[0], lips);
        shine += lips * 0.10;
        if (lips > 0.5) gloss = 1;
        float along = more.z, across = paint.y;
        if ((mask & 2) != 0 && along > -0.1 && along < 1.1 && abs(across) < 0.1) {
            float thick = 0.024 * (1.05 - along) * (0.62 + 0.9 * along);
            float t = ramp(thick - abs(across), max(0.018, 1.3 * pixel));
            t *= 0.88 * ramp(along - 0.04, 0.16) * ramp(0.93 - along, 0.12);
            rgb = mix(rgb, colours[1] * 0.8, t);
            shine *= 1.0 - t;
        }
        float fine = zigzag(local.x * 19.0 + local.z * 2.5) + zigzag(local.x * 33.0 - local.z * 3.5);
        rgb = mix(rgb, colours[1] * (1.0 + 0.08 * fine), hair);
        wrap *= 1.0 - hair; shine *= 1.0 - 0.7 * hair;
        rgb *= 1.0 - lash; shine *= 1.0 - lash;
    } else if (kind == 1) {  // eye
        rgb = vec3(0.80, 0.77, 0.75);
        shine = 0.9; gloss = 2; wrap = 0.0; sky = 0.75;
        if (local.z > 0.0) {
            float ring = length(local.xy) / length(local);
            float blur = pixel / 0.25;
            float iris = ramp(0.40 - ring, max(blur, 0.05)), pupil = ramp(0.18 - ring, max(blur, 0.04));
            float tone = max(0.45 + 1.3 * max(0.0, 0.36 - ring) - local.y * 0.6, 0.25);
            rgb = mix(rgb, colours[2] * tone * 1.3, iris);
            rgb = mix(rgb, vec3(0.012, 0.010, 0.010), pupil);
        }
        dim = 1.0 - 0.65 * ramp(normal.y - 0.30, 0.5);
    } else if (kind == 2) {  // teeth
        normal = vec3(0.4 * normal.x, 0.15, 0.9);
        float gap = ramp(zigzag(local.x / TOOTH) - 0.85, 0.4);
        rgb = vec3(0.80, 0.74, 0.64);
        dim = (0.88 - 0.80 * local.z) * (1.0 - 0.25 * gap);
        sky = 0.6; shine = 0.2; gloss = 1; wrap = 0.0;
    } else if (kind == 3) {  // tongue
        rgb = vec3(0.60, 0.20, 0.19);
        dim = (0.95 - 0.90 * local.z) * (1.0 - 0.22 * ramp(0.012 - abs(local.x), 0.03));
        sky = 0.6; shine = 0.22 * dim; gloss = 1;
    } else {  // mouth
        rgb = vec3(0.22, 0.045, 0.04);
        dim = max(0.06, 0.6 - 1.6 * local.z);
        sky = 0.4; shine = 0.0;
    }
    if (kind >= 2) dim *= mouth;
    float key = dot(normal, lights[0]), fill = max(0.0, dot(normal, lights[1])), rim = max(0.0, dot(normal, lights[2]));
    float up = 0.5 + 0.5 * normal.y;
    vec3 through = wrap * vec3(0.40, 0.20, 0.12);
    vec3 lit = max(vec3(0.0), (key + through) / (1.0 + through));
    float open_sky = 0.25 + 0.75 * sky;
    float spot = pow(max(0.0, dot(normal, lights[8])), gloss == 0 ? 16.0 : gloss == 1 ? 32.0 : 128.0);
    if (gloss == 2) { glint = min(1.0, spot * 1.6); spot = 0.0; }
    spot *= shine * open_sky;
    rim *= sky * (1.0 - max(0.0, normal.z));
    glint *= shine;
    vec3 light = open_sky * (lit * lights[3] + fill * lights[4]) + rim * lights[5];
    light += sky * ((1.0 - up) * lights[7] + up * lights[6]);
    colour = vec4(dim * rgb * light + spot * lights[3] + glint, 1.0);
}
"""

FULLSCREEN_VERTEX = """
#version 330
in vec2 corner;
void main() { gl_Position = vec4(corner, 0.0, 1.0); }
"""

RESOLVE_FRAGMENT = """
#version 330
uniform sampler2D samples;
uniform sampler2D wall;
uniform bool apart;
out vec4 colour;
float display(float c) {
    c = clamp(c, 0.0, BRIGHTEST);
    c = c < 0.6 ? c : 0.6 + 0.4 * (1.0 - exp(-(c - 0.6) / 0.4));
    return c <= 0.0031308 ? c * 12.92 : 1.055 * pow(c, 1.0 / 2.4) - 0.055;
}
void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    vec4 sum = vec4(0.0);
    for (int k = 0; k < 4; k++) sum += texelFetch(samples, 2 * at + ivec2(k & 1, k >> 1), 0);
    vec3 rgb = apart ? sum.rgb / max(sum.a, 1.0) : (sum.rgb + (4.0 - sum.a) * texelFetch(wall, at, 0).rgb) * 0.25;
    colour = vec4(display(rgb.r), display(rgb.g), display(rgb.b), sum.a * 0.25);
}
"""
