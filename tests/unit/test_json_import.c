/*
 * test_json_import.c - a line of JSON as shmq import reads it (tools/json_import.h): whatever is
 * wrong with it, it is refused with a reason, and the memory it took is freed once.  (What
 * uses freed memory shows where these tests run under ASan.)
 */
#include <stdio.h>
#include <string.h>

#include "shmq/json_import.h"
#include "support/helper.h"

/* Whether the line is refused, with these words in the reason. */
static bool is_refused(const char *text, size_t length, const char *words)
{
    struct json_line l = {0};
    bool read = json_line_read(&l, text, length), said = strstr(l.why, words) != NULL;

    if (read)
        print_error("is read: %.*s\n", (int)length, text);
    else if (!said)
        print_error("'%s' is not in '%s', about: %.*s\n", words, l.why, (int)length, text);
    json_line_free(&l);
    return !read && said;
}

/* A line with all that may be in one. */
static const char full[] =
    "{\"id\":7,\"state\":\"waiting\",\"put_time\":\"2026-11-23T10:30:00Z\","
    "\"attempts\":2,\"reason\":\"none\",\"base64\":\"AAECAw==\",\"key_base64\":"
    "\"a2V5\",\"type\":\"T\",\"priority\":-3,\"correlation\":9,\"delay_ns\":5,"
    "\"ttl_ns\":6,\"headers\":{\"a\":{\"base64\":\"QQ==\"},\"b\":\"B\","
    "\"c\":{\"base64\":\"Q0M=\"}}}";

static void all_members(void **state)
{
    static const unsigned char payload[] = {0, 1, 2, 3};
    struct json_line l = {0};

    (void)state;
    if (!json_line_supported())
        skip();
    assert_true(json_line_read(&l, full, strlen(full)));
    assert_int_equal(l.msg.length, sizeof(payload));
    assert_memory_equal(l.msg.data, payload, sizeof(payload));
    assert_int_equal(l.msg.key_length, 3);
    assert_memory_equal(l.msg.key, "key", 3);
    assert_int_equal(l.msg.type, 'T');
    assert_int_equal(l.msg.priority, -3);
    assert_int_equal(l.msg.correlation, 9);
    assert_int_equal(l.msg.delay_ns, 5);
    assert_int_equal(l.msg.ttl_ns, 6);
    assert_int_equal(l.msg.header_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        static const char *const values[] = {"A", "B", "CC"};
        const char name[] = {(char)('a' + i), '\0'};
        assert_string_equal(l.msg.headers[i].name, name);
        assert_string_equal(l.msg.headers[i].value, values[i]);
    }
    json_line_free(&l);
}

static void wrong_lines(void **state)
{
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"[]", "not a JSON object"},
        {"{}", "neither"},
        {"{\"text\":\"x\",\"text\":\"y\"}", "not JSON"},
        {"{\"text\":\"x\",\"base64\":\"QQ==\"}", "both given"},
        {"{\"base64\":5}", "\"base64\" is not a string"},
        {"{\"base64\":null}", "\"base64\" is not a string"},
        {"{\"base64\":\"QQ=\"}", "is not base64"},
        {"{\"base64\":\"QR==\"}", "is not base64"},
        {"{\"base64\":\"====\"}", "is not base64"},
        {"{\"base64\":\"Q\\u0000==\"}", "is not base64"},
        {"{\"base64\":\"QQ==\",\"key_base64\":5}", "\"key_base64\" is not a string"},
        {"{\"base64\":\"QQ==\",\"key_base64\":[]}", "\"key_base64\" is not a string"},
        {"{\"base64\":\"QQ==\",\"key_base64\":\"?\"}", "is not base64"},
        {"{\"text\":\"x\",\"key_base64\":\"QQ==\",\"key\":\"k\"}", "both given"},
        {"{\"text\":\"x\",\"headers\":5}", "\"headers\" is not an object"},
        {"{\"text\":\"x\",\"headers\":{\"a\":5}}", "is not a string"},
        {"{\"text\":\"x\",\"headers\":{\"a\":{}}}", "is not a string"},
        {"{\"text\":\"x\",\"headers\":{\"a\":{\"base64\":\"QQ==\",\"b\":1}}}", "is not a string"},
        {"{\"text\":\"x\",\"headers\":{\"a\":{\"base64\":\"AA==\"}}}", "has a NUL"},
        {"{\"text\":\"x\",\"headers\":{\"a\":{\"base64\":5}}}", "is not a string"},
        {"{\"text\":\"x\",\"headers\":{\"a\":{\"base64\":\"QQ==\"},\"b\":{\"base64\":5}}}",
         "is not a string"},
        {"{\"base64\":\"QQ==\",\"headers\":{\"a\":{\"base64\":\"QQ==\"},\"b\":{\"base64\":\"?\"}}}",
         "is not base64"},
        {"{\"base64\":\"QQ==\",\"delay_ns\":1,\"due_time\":\"2026-11-23T10:30:00Z\"}",
         "both given"},
        {"{\"base64\":\"QQ==\",\"colour\":1}", "there is no member"},
    };

    (void)state;
    if (!json_line_supported())
        skip();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_true(is_refused(wrong[i].text, strlen(wrong[i].text), wrong[i].words));
}

/* After any number of values in base64 comes one that is none. */
static void wrong_after_some(void **state)
{
    static const char *const last[] = {"5", "null", "\"?\"", "\"AA==\"", "{\"base64\":\"QQ==\"}"};
    char line[1024];

    (void)state;
    if (!json_line_supported())
        skip();
    for (unsigned count = 0; count < 20; count++)
        for (size_t k = 0; k < sizeof(last) / sizeof(last[0]); k++) {
            int n = snprintf(line, sizeof(line), "{\"text\":\"x\",\"headers\":{");
            for (unsigned i = 0; i < count; i++)
                n += snprintf(line + n, sizeof(line) - (size_t)n, "\"%u\":{\"base64\":\"QQ==\"},",
                              i);
            n += snprintf(line + n, sizeof(line) - (size_t)n, "\"z\":{\"base64\":%s}}}", last[k]);
            assert_true(is_refused(line, (size_t)n, ""));
        }
}

static void cut_lines(void **state)
{
    (void)state;
    if (!json_line_supported())
        skip();
    for (size_t length = 0; length < strlen(full); length++)
        assert_true(is_refused(full, length, "not JSON"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELPER_TEST(all_members),
        HELPER_TEST(wrong_lines),
        HELPER_TEST(wrong_after_some),
        HELPER_TEST(cut_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
