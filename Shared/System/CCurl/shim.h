#pragma once
// The type checks of the header are macros that Swift's importer cannot use.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

/* curl_easy_setopt() and curl_easy_getinfo() are variadic, which Swift does not import: one function for each kind of value. */

typedef size_t (*trionex_curl_callback)(char *buffer, size_t size, size_t count, void *context);

static inline CURLcode trionex_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

/* libcurl copies the text. */
static inline CURLcode trionex_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

/* libcurl does not copy the list: it must live until the transfer has ended. */
static inline CURLcode trionex_curl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(handle, option, value);
}

/* Where the bytes to send come from. */
static inline CURLcode trionex_curl_set_reader(CURL *handle, trionex_curl_callback read, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_READFUNCTION, read);
    return code == CURLE_OK ? curl_easy_setopt(handle, CURLOPT_READDATA, context) : code;
}

/* Where header lines, and for SMTP the server's replies, go. */
static inline CURLcode trionex_curl_set_header_writer(CURL *handle, trionex_curl_callback write, void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, write);
    return code == CURLE_OK ? curl_easy_setopt(handle, CURLOPT_HEADERDATA, context) : code;
}

/* The last reply code of the server; 0 when there was none. */
static inline long trionex_curl_response_code(CURL *handle) {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    return code;
}
