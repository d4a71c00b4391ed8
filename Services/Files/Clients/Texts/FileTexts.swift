import Contracts
import Foundation
import NIOPosix

/// The texts of stored files, read anew each time: none is kept in the clear.
struct FileTexts: Sendable {
    let vault: Vault
    let pdf: PDFText

    /// UTF-8 needs at most so many bytes for what may be answered.
    static let maximumTextBytes = 4 * FileText.maximumLength
    private static let none = FileText(text: "", isCut: false)

    /// Throws `DamagedContent` where the content is not what was stored.
    func read(_ sealed: FileStore.Sealed, of tenant: TenantID) async throws -> FileText {
        guard let form = TextForm(sealed.file.contentType), sealed.file.size > 0 else { return Self.none }
        let isPartly = sealed.file.size > form.maximumBytes
        switch form {
        case .plain:
            return LenientText.answer(LenientText.decode(try await content(sealed, of: tenant, form)), isCut: isPartly)
        case .json:
            let text = LenientText.decode(try await content(sealed, of: tenant, form))
            return LenientText.answer(LenientText.resolvingEscapes(json: text), isCut: isPartly)
        case .html:
            let html = LenientText.decode(try await content(sealed, of: tenant, form))
            // Off the threads that everybody's requests share.
            let read = try await NIOThreadPool.singleton.runIfActive { HTMLText.read(html, maximumBytes: Self.maximumTextBytes) }
            return LenientText.answer(read.text, isCut: isPartly || read.isCut)
        case .pdf:
            // Without its end nothing can be found in it.
            guard !isPartly else { return Self.none }
            let read = try await pdf.read(maximumBytes: Self.maximumTextBytes) { try await content(sealed, of: tenant, form) }
            guard let read else { return Self.none }
            return LenientText.answer(LenientText.decode(read.text), isCut: read.isCut)
        }
    }

    /// The beginning of a content, as far as it is looked at.
    private func content(_ sealed: FileStore.Sealed, of tenant: TenantID, _ form: TextForm) async throws -> Data {
        let reader = try await vault.open(sealed, of: tenant)
        let wanted = 0..<min(form.maximumBytes, sealed.file.size)
        var data = Data(capacity: wanted.count + ContentCipher.chunkBytes)
        for chunk in ContentReader.chunks(of: wanted) { data.append(try await reader.chunk(chunk)) }
        return data.prefix(wanted.count)
    }
}
