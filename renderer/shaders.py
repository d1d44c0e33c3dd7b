"""The studio's light once more, for OpenGL: what `shading.py` does in compiled loops, in GLSL 3.30.

The two must tell the same story: a number that changes there changes here (tests/test_renderer_gl.py compares the
pictures). Each of the 2 x 2 samples of a pixel is a pixel of a picture twice as large; the loops take five samples in
other places, so that edges differ by their shades between.
"""

MESH_VERTEX = """
#version 330
uniform float focal_scale;       // 2 focal / size
uniform float principal_offset;  // of the principal point, which is a whole pixel
in vec3 position;
in vec3 normal;
in vec4 albedo_occlusion;
in vec3 lips_brow_hair;
in vec3 lash_cloth_along;
in vec3 local_position;
in vec2 shine_wrap;
in vec2 texel_position;
out vec3 world_normal;
out vec4 albedo_and_sky;
out vec3 masks_a;
out vec3 masks_b;
out vec3 local;
out vec2 textured_gloss;
out vec2 texel;
out float inverse_depth;
void main() {
    float distance = 10.0 - position.z;
    // 1 / distance, linear on the screen, 0.01 to 1 onto -1 to 1, the nearer the smaller
    float clip_depth = 1.0 - 2.0 * clamp((1.0 / distance - 0.01) / 0.99, 0.0, 1.0);
    gl_Position = vec4(position.x * focal_scale + principal_offset * distance,
                       position.y * focal_scale + principal_offset * distance, clip_depth * distance, distance);
    world_normal = normal; albedo_and_sky = albedo_occlusion; local = local_position;
    masks_a = lips_brow_hair; masks_b = lash_cloth_along;
    textured_gloss = shine_wrap; texel = texel_position;
    inverse_depth = 1.0 / distance;
}
"""

GREY_FRAGMENT = """
#version 330
uniform sampler2D triangle_greys;  // of every triangle, one row of TEXTURE_WIDTH after the other
out vec4 colour;
void main() {
    int triangle = gl_PrimitiveID;
    float grey = texelFetch(triangle_greys, ivec2(triangle % TEXTURE_WIDTH, triangle / TEXTURE_WIDTH), 0).r;
    colour = vec4(grey, grey, grey, 1.0);
}
"""

STUDIO_FRAGMENT = """
#version 330
uniform sampler2D triangle_materials;  // of StudioSurface, one row of TEXTURE_WIDTH after the other
uniform sampler2D texels;    // of TextureMap, 0..1: the square root of linear light
uniform vec3 lights[9];
uniform vec3 colours[5];     // lips, hair, iris, cloth, sclera
uniform float focal;         // pixels of the finished picture
uniform float mouth_brightness;
in vec3 world_normal;
in vec4 albedo_and_sky;
in vec3 masks_a;
in vec3 masks_b;
in vec3 local;
in vec2 textured_gloss;
in vec2 texel;
in float inverse_depth;
out vec4 colour;

float smooth_ramp(float distance, float width) {
    float t = clamp(distance / width + 0.5, 0.0, 1.0);
    return t * t * (3.0 - 2.0 * t);
}
float mask_coverage(float mask, float soft) {  // the derivatives are per sample, the finished picture has half as many
    return smooth_ramp(mask, max(soft, 2.6 * length(vec2(dFdx(mask), dFdy(mask)))));
}
vec3 sample_texture(vec2 at) {  // linear light; texel i has its middle at i
    ivec2 corner = ivec2(clamp(at, vec2(0.0), vec2(textureSize(texels, 0)) - LAST_TEXEL));
    vec2 t = at - vec2(corner);
    vec3 upper = mix(texelFetch(texels, corner, 0).rgb, texelFetch(texels, corner + ivec2(1, 0), 0).rgb, t.x);
    vec3 lower = mix(texelFetch(texels, corner + ivec2(0, 1), 0).rgb, texelFetch(texels, corner + 1, 0).rgb, t.x);
    vec3 root = mix(upper, lower, t.y);
    return root * root;
}
float triangle_wave(float t) { return 4.0 * abs(t - floor(t) - 0.5) - 1.0; }

void main() {
    int triangle = gl_PrimitiveID;
    ivec2 entry = ivec2(triangle % TEXTURE_WIDTH, triangle / TEXTURE_WIDTH);
    int bits = int(texelFetch(triangle_materials, entry, 0).r + 0.5);
    int material = bits & 7, layers = bits >> 3;  // masks near this triangle: no other may show
    vec3 normal = world_normal * inversesqrt(dot(world_normal, world_normal) + 1e-12);
    float sky = clamp(albedo_and_sky.a, 0.0, 1.0);
    float pixel = 1.0 / (inverse_depth * focal);
    vec3 rgb = albedo_and_sky.rgb;
    float shine = 0.10, wrap = 1.0, eye_highlight = 0.0, shadow = 1.0;
    int gloss = 0;
    float light_in_mouth = mouth_brightness;
    // outside of any branch: derivatives are undefined where neighbours go other ways
    float cloth = mask_coverage(masks_b.y, 0.006), lips = mask_coverage(masks_a.x, 0.010);
    float hair = mask_coverage(masks_a.z, 0.05);
    float lash = 0.85 * mask_coverage(masks_b.x, 0.010);
    lips *= float(layers & 1); hair *= float((layers & 36) == 4);
    lash *= float(layers >> 3 & 1); cloth *= float(layers >> 4 & 1);
    if (material == 0) {  // skin
        if ((layers & 32) != 0) {
            rgb = sample_texture(texel);
            shine = textured_gloss.x; wrap = textured_gloss.y;
        }
        rgb = mix(rgb, colours[3], cloth);
        shine *= 1.0 - cloth; wrap *= 1.0 - cloth;
        rgb = mix(rgb, colours[0], lips);
        shine += lips * 0.10;
        if (lips > 0.5) gloss = 1;
        float along = masks_b.z, across = masks_a.y;
        if ((layers & 2) != 0 && along > -0.1 && along < 1.1 && abs(across) < 0.1) {
            float brow_thickness = 0.024 * (1.05 - along) * (0.62 + 0.9 * along);
            float t = smooth_ramp(brow_thickness - abs(across), max(0.018, 1.3 * pixel));
            t *= 0.88 * smooth_ramp(along - 0.04, 0.16) * smooth_ramp(0.93 - along, 0.12);
            rgb = mix(rgb, colours[1] * 0.8, t);
            shine *= 1.0 - t;
        }
        float fine = triangle_wave(local.x * 19.0 + local.z * 2.5) + triangle_wave(local.x * 33.0 - local.z * 3.5);
        rgb = mix(rgb, colours[1] * (1.0 + 0.08 * fine), hair);
        wrap *= 1.0 - hair; shine *= 1.0 - 0.7 * hair;
        rgb *= 1.0 - lash; shine *= 1.0 - lash;
    } else if (material == 1) {  // eye
        rgb = colours[4];
        shine = 0.9; gloss = 2; wrap = 0.0; sky = 0.75;
        if (local.z > 0.0) {
            float ring = length(local.xy) / length(local);
            float blur = pixel / 0.25;
            float iris = smooth_ramp(0.40 - ring, max(blur, 0.05)), pupil = smooth_ramp(0.18 - ring, max(blur, 0.04));
            float iris_shade = max(0.45 + 1.3 * max(0.0, 0.36 - ring) - local.y * 0.6, 0.25);
            rgb = mix(rgb, colours[2] * iris_shade * 1.3, iris);
            rgb = mix(rgb, vec3(0.012, 0.010, 0.010), pupil);
        }
        shadow = 1.0 - 0.65 * smooth_ramp(normal.y - 0.30, 0.5);
    } else if (material == 2) {  // teeth
        normal = vec3(0.4 * normal.x, 0.15, 0.9);
        float gap = smooth_ramp(triangle_wave(local.x / TOOTH_SPACING) - 0.85, 0.4);
        rgb = vec3(0.93, 0.88, 0.79);
        shadow = max(0.05, 1.0 - 1.2 * local.z) * (1.0 - 0.20 * gap);
        light_in_mouth = pow(light_in_mouth, 1.0 / 3.0);  // they stand right behind the lips
        sky = 0.6; shine = 0.2; gloss = 1; wrap = 0.0;
    } else if (material == 3) {  // tongue
        rgb = vec3(0.42, 0.095, 0.09);
        shadow = max(0.10, 0.90 - 1.20 * local.z) * (1.0 - 0.22 * smooth_ramp(0.012 - abs(local.x), 0.03));
        sky = 0.6; shine = 0.10 * shadow * light_in_mouth; gloss = 1;
    } else {  // mouth
        rgb = vec3(0.22, 0.045, 0.04);
        shadow = max(0.06, 0.6 - 1.6 * local.z);
        sky = 0.4; shine = 0.0;
    }
    if (material >= 2) shadow *= light_in_mouth;
    float key = dot(normal, lights[0]), fill = max(0.0, dot(normal, lights[1])), rim = max(0.0, dot(normal, lights[2]));
    float sky_facing = 0.5 + 0.5 * normal.y;
    vec3 wrap_amount = wrap * vec3(0.40, 0.20, 0.12);
    vec3 diffuse = max(vec3(0.0), (key + wrap_amount) / (1.0 + wrap_amount));
    float light_visibility = 0.25 + 0.75 * sky;
    float specular = pow(max(0.0, dot(normal, lights[8])), gloss == 0 ? 16.0 : gloss == 1 ? 32.0 : 128.0);
    if (gloss == 2) { eye_highlight = min(1.0, specular * 1.6); specular = 0.0; }
    specular *= shine * light_visibility;
    rim *= sky * (1.0 - max(0.0, normal.z));
    eye_highlight *= shine;
    vec3 light = light_visibility * (diffuse * lights[3] + fill * lights[4]) + rim * lights[5];
    light += sky * ((1.0 - sky_facing) * lights[7] + sky_facing * lights[6]);
    colour = vec4(shadow * rgb * light + specular * lights[3] + eye_highlight, 1.0);
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
uniform sampler2D background;
uniform bool has_alpha;
out vec4 colour;
float display(float c) {
    c = clamp(c, 0.0, MAX_LINEAR);
    c = c < 0.6 ? c : 0.6 + 0.4 * (1.0 - exp(-(c - 0.6) / 0.4));
    return c <= 0.0031308 ? c * 12.92 : 1.055 * pow(c, 1.0 / 2.4) - 0.055;
}
void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec4 sum = vec4(0.0);
    for (int k = 0; k < 4; k++) sum += texelFetch(samples, 2 * pixel + ivec2(k & 1, k >> 1), 0);
    vec3 opaque = (sum.rgb + (4.0 - sum.a) * texelFetch(background, pixel, 0).rgb) * 0.25;
    vec3 rgb = has_alpha ? sum.rgb / max(sum.a, 1.0) : opaque;
    colour = vec4(display(rgb.r), display(rgb.g), display(rgb.b), sum.a * 0.25);
}
"""
