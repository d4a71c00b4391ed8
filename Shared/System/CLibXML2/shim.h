#pragma once
#include <libxml/xmlversion.h>
// Foundation brings an ICU of its own, whose types must not meet the system's. Only the fields of a struct that is never
// touched here depend on it.
#undef LIBXML_ICU_ENABLED
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

// xmlFree is a mutable global, which Swift rightly refuses to read from several threads.
static inline void trionex_xml_free(void *pointer) { xmlFree(pointer); }
