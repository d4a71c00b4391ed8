#pragma once
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

// xmlFree is a mutable global, which Swift rightly refuses to read from several threads.
static inline void trionex_xml_free(void *pointer) { xmlFree(pointer); }
